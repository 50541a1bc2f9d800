"""What a report says: gathered from the files of a run, and from the graph of its model."""

from __future__ import annotations

import re
from pathlib import Path

from hls4ml_ext.files import read_json
from hls4ml_ext.report.estimate import error
from hls4ml_ext.report.rivals import rivals
from hls4ml_ext.report.versions import installed
from hls4ml_ext.rtl.build import REPORT as BUILD_REPORT

PICTURES = {
    'curves.png': 'Loss and accuracy in training.',
    'weights.png': 'Weights within the ranges of their quantizers.',
    'activations.png': 'Activations within the ranges of their quantizers.',
    'attention.png': 'Attention maps.',
}
"""Pictures of a run, and what they show. Those of the hardware are drawn for the report."""

RESOURCES = ('LUT', 'FF', 'BRAM_18K', 'DSP', 'URAM')
ROUNDING = re.compile(',AP_[^>]*')
"""In a type, how its numbers are rounded: more than people want to read in a table."""

SYNTHESIS = {'YosysSynthReport': 'Yosys', 'VivadoSynthReport': 'Vivado'}


def content_of(project, directory: Path, layers: list[dict] | None, estimate: dict | None, problem: str = '',
               engines: dict[str, str] | None = None) -> dict:  # fmt: skip
    """The content of a report, for the template. Draws the timeline and the utilisation into the run's directory.

    Args:
        project: The :class:`hls4ml_ext.project.Project`.
        directory: Of the run.
        layers: From :func:`hls4ml_ext.report.facts.layer_facts`; None if the model can't be converted.
        estimate: ``to_dict`` of an :class:`hls4ml_ext.estimation.Estimate`; None if there is none.
        problem: Why one of these is None.
        engines: Name of an engine of the RTL -> its layer.
    """
    results = read_json(directory / 'results.json')
    evaluation = read_json(directory / 'evaluation.json')
    training = read_json(directory / 'training.json')
    build = results.get('build') or read_json(directory / 'hls' / BUILD_REPORT)
    command = Commands(project, directory)
    known = (estimate or {}).get('known_error')
    rows = _flat(layers if layers is not None else results.get('layers', []))
    _add_mismatches(rows, _flat(results.get('layers', [])))
    cycles = _cycles(project, directory, results, estimate)
    resources = _resources(project, directory, build, estimate, engines or {})
    return {
        'title': project.title or project.name,
        'name': project.name,
        'project': project,
        'command': command,
        'problem': problem,
        'notes': _notes(project, results, training),
        'tiles': _tiles(results, evaluation, estimate, cycles, resources, project),
        'model': {'layers': rows, 'totals': _totals(results, estimate, layers), 'quantization': _quantization(project)},
        'accuracy': _accuracy(results, evaluation, training),
        'exactness': results.get('mismatches'),
        'simulation': 'RTL simulation' if project.hls.backend == 'RTL' else 'C simulation',
        'images': results.get('data'),
        'resources': resources,
        'cycles': cycles,
        'estimate': estimate,
        'pareto': directory / 'pareto.png' if (directory / 'pareto.png').is_file() else None,
        'foldings': read_json(directory / 'pareto.json').get('points', []),
        'rivals': rivals((results.get('data') or {}).get('name') or project.data.source),
        'known_error': f'LUT and FF are estimated, {error(known)}.' if known else '',
        'pictures': [(directory / name, text) for name, text in PICTURES.items() if (directory / name).is_file()],
        'training': training,
        'seconds': results.get('seconds', {}),
        'versions': results.get('versions') or installed(),
        'machine': results.get('machine'),
        'of_run': bool(results.get('versions')),
        'resource_names': [name for name, estimated, *_ in resources['totals'] if estimated is not None],
        'period': project.hls.clock_period,
        'mhz': 1000 / project.hls.clock_period,
    }


class Commands:
    """The commands that make what a report shows."""

    def __init__(self, project, directory: Path):
        from hls4ml_ext.shipped import project_name

        self._name = project_name(project.path)
        self._output = '' if directory == Path('runs') / project.name else f' -o {directory}'

    def __call__(self, verb: str, options: str = '') -> str:
        return f'hls4ml-ext {verb} {self._name}{self._output}{f" {options}" if options else ""}'


# ---------------------------------------------------------------------------------------------------------------------
# Sections
# ---------------------------------------------------------------------------------------------------------------------


def _flat(layers: list[dict], prefix: str = '', depth: int = 0) -> list[dict]:
    """The layers as rows, those inside of a block behind it."""
    rows = []
    for layer in layers:
        inner = _flat(layer['layers'], f'{layer["name"]}.', depth + 1)
        row = {'short': layer['name'].removeprefix(prefix), 'depth': depth, 'type': ROUNDING.sub('', layer['type'])}
        rows += [{'inserted': False, 'mismatches': None, 'values': None, **layer, **row}, *inner]
    return rows


def _add_mismatches(rows: list[dict], compared: list[dict]):
    """Adds what was found in a simulation, and says of which layers something was compared, in them or inside of them."""
    known = {layer['name']: layer for layer in compared}
    for row in rows:
        found = known.get(row['name'], {})
        row['mismatches'], row['values'] = found.get('mismatches'), found.get('values')
    named = {row['name'] for row in rows if row['values']}
    for row in rows:
        row['compared'] = row['name'] in named or any(name.startswith(row['name'] + '.') for name in named)


def _totals(results: dict, estimate: dict | None, layers: list[dict] | None) -> dict:
    if layers:
        from hls4ml_ext.report.facts import totals

        return totals(layers)
    return results.get('model', {})


def _quantization(project) -> dict | None:
    from hls4ml_ext.project import ModelFile

    return None if isinstance(project.model, ModelFile) else project.quantization.model_dump()


def _notes(project, results: dict, training: dict) -> list[str]:
    """What the reader should know before the figures."""
    notes = []
    if project.random_weights:
        notes.append('The weights are random: accuracies mean nothing.')
    if results:
        if results.get('hls') != project.hls.model_dump(mode='json'):
            notes.append('The simulated network was made with other hls settings than the project file has now.')
        if results.get('training', {}).get('fingerprint') != training.get('fingerprint'):
            notes.append('The model has been trained again since it was simulated.')
    if training and training.get('fingerprint') != project.fingerprint():
        notes.append('The project file has changed since the model was trained.')
    return notes


def _accuracy(results: dict, evaluation: dict, training: dict) -> dict:
    """Rows of accuracies: name, fraction, number of images."""
    rows = []
    if results and results['accuracy'].get('keras') is not None:
        n = results['data']['test_images']
        rows.append(('Keras', results['accuracy']['keras'], n))
        for key, name in (('csim', 'C simulation'), ('rtl', 'RTL simulation')):
            if results['accuracy'].get(key) is not None:
                rows.append((name, results['accuracy'][key], n))
    found = evaluation.get('accuracy', {})
    if found:
        n = evaluation['data']['test_images']
        rows.append(('quantized (evaluate)', found['quantized'], n))
        if found.get('float') is not None:
            rows.append(('floating point', found['float'], n))
        rows += [(f'quantized after training, {method}', value, n) for method, value in found.get('ptq', {}).items()]
    return {'rows': rows, 'evaluated': bool(found), 'phases': training.get('phases', [])}


def _cycles(project, directory: Path, results: dict, estimate: dict | None) -> dict:
    """Counted and computed cycles, and the timeline."""
    from hls4ml_ext.report.plots.timeline import timeline
    from hls4ml_ext.run import TIMELINE

    counted, of = results.get('cycles'), {layer['name']: layer for layer in (estimate or {}).get('layers', [])}
    found = {'counted': counted, 'comparison': [], 'engines': [], 'timeline': None, 'is_rtl': project.hls.backend == 'RTL'}
    if counted and estimate:
        for name, measured, formula in (
            ('interval', counted['interval'], estimate['max_cycles']),
            ('latency', counted['latency'], estimate['estimated_latency_cycles']),
        ):
            found['comparison'].append((name, measured, formula, formula / measured - 1))
    for engine in counted['engines'] if counted else []:
        total = max(engine['busy'] + engine['starved'] + engine['stalled'], 1)
        shares = {key: engine[key] / total for key in ('busy', 'stalled', 'starved')}
        found['engines'].append({**engine, **shares, 'formula': of.get(engine['name'], {}).get('cycles')})
    content = read_json(directory / TIMELINE)
    if content:
        found['timeline'] = timeline(content, directory / 'timeline.png', project.hls.clock_period)
    return found


def _resources(project, directory: Path, build: dict, estimate: dict | None, engines_of: dict[str, str]) -> dict:
    """Estimated and synthesized resources, by layer and in total, and the picture of them."""
    from hls4ml_ext.report.plots.utilisation import utilisation

    tool = next((name for name in SYNTHESIS if name in build), None)
    section = build.get(tool, {})
    engines = {row['name']: row for row in build.get('Engines', [])}
    found = {
        'tool': SYNTHESIS.get(tool), 'section': section, 'placed': build.get('ImplementationReport'), 'engines': engines,
        'picture': None, 'rows': [], 'totals': [], 'by_layer': False,
    }  # fmt: skip
    available = estimate['available'] if estimate else {r: section.get(f'Available{r}') for r in RESOURCES}
    for name in RESOURCES:
        estimated, synthesized, have = estimate and estimate[name], section.get(name), available.get(name)
        if estimated or synthesized or have:
            error = estimated / synthesized - 1 if estimated is not None and synthesized else None
            best = synthesized if synthesized is not None else estimated
            share = best / have if have and best is not None else None
            found['totals'].append((name, estimated, synthesized, error, have, share))
    if estimate:
        rows = [{**layer, 'synthesized': None} for layer in estimate['layers']]
        if engines and set(engines) - {''} <= set(engines_of):  # of this network
            for row in rows:
                own = [engine for name, engine in engines.items() if engines_of.get(name) == row['name']]
                row['synthesized'] = {r: sum(engine[r] for engine in own) for r in RESOURCES}
        found['rows'] = layers = _together(rows)
        found['by_layer'] = any(row['synthesized'] for row in layers)
        what = 'estimated'
        if estimate['LUT'] is None:
            what = 'as declared by its layers'
    elif engines:
        layers, what = list(engines.values()), 'after synthesis'
    else:
        return found
    board = estimate['device'] if estimate else str(project.hls.part)
    if any(available.get(r) and layer.get(r) for layer in layers for r in RESOURCES):
        measured = section if estimate and section else None
        found['picture'] = utilisation(layers, available, directory / 'utilisation.png', board, measured, what)
    return found


def _together(layers: list[dict]) -> list[dict]:
    """The layers of an estimate, with one row for all that the converter has put in between."""
    between = [layer for layer in layers if layer['inserted']]
    rows = [
        {**layer, 'short': layer['name'].removeprefix(f'{layer["block"]}.')} for layer in layers if not layer['inserted']
    ]
    if between:
        sums = {r: None if any(layer[r] is None for layer in between) else sum(layer[r] for layer in between)
                for r in RESOURCES}  # fmt: skip
        name = f'between them ({len(between)})'
        known = all(layer['synthesized'] for layer in between)
        found = {r: sum(layer['synthesized'][r] for layer in between) for r in RESOURCES} if known else None
        rows.append({**sums, 'name': name, 'short': name, 'kind': 'repack, copy', 'block': '', 'SIMD': None, 'PE': None,
                     'synthesized': found})  # fmt: skip
    return rows


def _tiles(results, evaluation, estimate, cycles, resources, project) -> list[dict]:
    """The key figures: a label, a number, what it is, and whether that is good."""
    tiles = []
    accuracy = (results.get('accuracy') or {}).get('keras')
    if accuracy is None:
        accuracy = evaluation.get('accuracy', {}).get('quantized')
    if accuracy is not None and not project.random_weights:
        tiles.append(
            {'label': 'accuracy', 'value': f'{100 * accuracy:.2f} %', 'note': _on(results or evaluation), 'state': ''}
        )
    mismatches = results.get('mismatches')
    if mismatches:
        wrong = mismatches['wrong']
        tiles.append({'label': 'values that differ from Keras', 'value': f'{wrong:,}',
                      'note': f'of {mismatches["values"]:,} compared', 'state': 'bad' if wrong else 'good'})  # fmt: skip
    counted = cycles['counted']
    if counted or estimate:
        interval = counted['interval'] if counted else estimate['max_cycles']
        latency = counted['latency'] if counted else estimate['estimated_latency_cycles']
        how = 'counted in RTL' if counted else 'by its formulas'
        period = project.hls.clock_period
        tiles.append({'label': 'images per second', 'value': f'{1e9 / (interval * period):,.0f}',
                      'note': f'{how}, at {1000 / period:g} MHz', 'state': ''})  # fmt: skip
        tiles.append({'label': 'latency', 'value': f'{latency * period / 1e6:.3g} ms', 'note': how, 'state': ''})
    shares = [(name, share) for name, *_, share in resources['totals'] if share is not None]
    if shares:
        name, share = max(shares, key=lambda pair: pair[1])
        how = f'after synthesis by {resources["tool"]}' if resources['tool'] else 'estimated'
        tiles.append({'label': f'of the {name} of the device', 'value': f'{100 * share:.0f} %', 'note': how,
                      'state': 'bad' if share > 1 else ''})  # fmt: skip
    return tiles


def _on(results: dict) -> str:
    data = results['data']
    return f'{data["test_images"]:,} test images, {data["name"]}'
