"""The tables and pictures of a study."""

from __future__ import annotations

from pathlib import Path
from statistics import mean, stdev

from hls4ml_ext.files import replacing
from hls4ml_ext.report.tables import bits, short


def write(study: dict, directory: Path) -> list[Path]:
    """Writes ``study.md`` and the pictures.

    Args:
        study: The content of ``study.json``, see :meth:`hls4ml_ext.study.StudyRun.write`.
        directory: Where to.

    Returns:
        The files.
    """
    from hls4ml_ext.report.plots import study as plots

    rows = by_variant(study['rows'])
    pictures = []
    by_bits = [row for row in _by_bits(rows) if row['accuracy']['ptq']]
    if by_bits:
        pictures.append(plots.qat_against_ptq([_bits_row(row) for row in by_bits], directory / 'qat_against_ptq.png'))
    points = [point for row in rows if row['role'] in ('headline', 'model') for point in _points(row)]
    if points:
        pictures.append(plots.accuracy_against_parameters(points, directory / 'accuracy_against_parameters.png'))
    series = steps_series(rows)
    if series:
        trained_at = next(row['model']['n_steps'] for row in rows if row['accuracy']['steps'])
        pictures.append(
            plots.accuracy_against_steps(series, directory / 'accuracy_against_steps.png', trained_at=trained_at)
        )
    page = directory / 'study.md'
    with replacing(page) as unfinished:
        unfinished.write_text(markdown(study), encoding='utf-8')
    return [page, *pictures]


def by_variant(rows) -> list[dict]:
    """The rows of a variant's seeds as one, in which an accuracy is a list: a number for each seed, or empty."""
    variants = {}
    for row in rows:
        variants.setdefault(row['name'], []).append(row)
    return [
        {
            **of_seeds[0],
            'seeds': [row['seed'] for row in of_seeds],
            'seconds': [row['training']['seconds'] for row in of_seeds],
            'accuracy': _listed([row['accuracy'] for row in of_seeds]),
        }
        for of_seeds in variants.values()
    ]


def _listed(values: list):
    """[{'a': 1}, {'a': 2}] -> {'a': [1, 2]}, without what is None or missing."""
    values = [value for value in values if value is not None]
    if not any(isinstance(value, dict) for value in values):
        return values
    keys = dict.fromkeys(key for value in values for key in value)
    return {key: _listed([value.get(key) for value in values]) for key in keys}


def markdown(study: dict) -> str:
    """The tables of a study as a Markdown page."""
    rows = by_variant(study['rows'])
    models = [row for row in rows if row['role'] in ('headline', 'model')]
    at_bits = _by_bits(rows)
    parts = [f'# {study["title"]}', '## Models', table(MODEL_COLUMNS, [_model_cells(row) for row in models])]
    if at_bits:
        parts += ['## Bit widths', table(BITS_COLUMNS, [_bits_cells(row) for row in at_bits])]
    stepped = [row for row in rows if row['accuracy']['steps']]
    if stepped:
        numbers = list(next(iter(stepped[0]['accuracy']['steps'].values())))
        cells = [
            [_label(row, kind), *(percent(found.get(n)) for n in numbers)]
            for row in stepped
            for kind, found in row['accuracy']['steps'].items()
        ]
        parts += ['## Steps of the solver', table(['model', *(f'N = {n}' for n in numbers)], cells)]
    return '\n\n'.join([*parts, provenance(study['rows'])]) + '\n'


MODEL_COLUMNS = ('model', 'parameters', 'MACs', 'weights', 'float', 'quantized', 'seeds', 'training')
BITS_COLUMNS = ('bits', 'float', 'PTQ min-max', 'PTQ percentile', 'PTQ mse', 'QAT', 'QAT - float', 'seeds')


def _by_bits(rows) -> list[dict]:
    """The main model at its bit widths, most bits first."""
    main = [row for row in rows if row['role'] in ('headline', 'bits')]
    return sorted(main, key=lambda row: (-row['quantization']['activations'], -row['quantization']['weights']))


def _qat(row) -> list[float]:
    """Accuracies after quantization-aware training, if there was any."""
    return row['accuracy']['quantized'] if all(row['accuracy']['qat_epochs']) else []


def _model_cells(row) -> list[str]:
    accuracy, model = row['accuracy'], row['model']
    return [
        row['title'],
        f'{model["parameters"]:,}',
        short(model['macs']),
        bits(model['weight_bits']),
        percent(accuracy['float']),
        f'{percent(accuracy["quantized"])} ({bit_widths(row)} {"QAT" if _qat(row) else "PTQ"})',
        str(len(row['seeds'])),
        f'{mean(row["seconds"]) / 60:.0f} min',
    ]


def _bits_cells(row) -> list[str]:
    accuracy, qat = row['accuracy'], _qat(row)
    lost = [100 * (quantized - float) for quantized, float in zip(qat, accuracy['float'])]
    methods = [percent(accuracy['ptq'].get(method)) for method in ('minmax', 'percentile', 'mse')]
    shown = [bit_widths(row), percent(accuracy['float']), *methods, percent(qat)]
    return [*shown, with_spread(lost, '+.2f'), str(len(row['seeds']))]


def _bits_row(row) -> dict:
    accuracy = row['accuracy']
    return {'bits': bit_widths(row), 'float': accuracy['float'], 'qat': _qat(row), 'ptq': accuracy['ptq']}


def _points(row) -> list[dict]:
    """A model in the picture of accuracy against parameters: in floating point, and after QAT if there was any."""
    return [
        {'name': row['title'], 'parameters': row['model']['parameters'], 'accuracy': values, 'kind': kind}
        for values, kind in ((row['accuracy']['float'], 'float'), (_qat(row), 'qat'))
        if values
    ]


def steps_series(rows) -> dict[str, dict[int, list[float]]]:
    """Accuracies by the number of steps: label -> number -> accuracies."""
    return {
        _label(row, kind): {int(n): values for n, values in found.items()}
        for row in rows
        for kind, found in row['accuracy']['steps'].items()
    }


def _label(row, kind: str) -> str:
    """'ODE-MHSA, QAT': a model in floating point, or quantized during or after training."""
    if kind == 'quantized':
        kind = 'QAT' if _qat(row) else 'PTQ'
    return f'{row["title"]}, {kind}'


def bit_widths(row) -> str:
    """'W4A8': bits of weights and of activations."""
    widths = row['quantization']
    return f'W{widths["weights"]}A{widths["activations"]}'


def percent(fractions) -> str:
    """'83.21 %'; with more than one number their mean and standard deviation, '83.21 ± 0.25 %'; nothing without any."""
    text = with_spread([100 * value for value in fractions or ()], '.2f')
    return text and f'{text} %'


def with_spread(values, form: str) -> str:
    """The mean and, of more than one number, the standard deviation (n - 1 degrees of freedom)."""
    if not values:
        return ''
    return f'{mean(values):{form}}' + (f' ± {stdev(values):.2f}' if len(values) > 1 else '')


def table(header, rows) -> str:
    """A Markdown table, the first column to the left and the others to the right."""
    lines = [header, ['---', *['---:'] * (len(header) - 1)], *rows]
    return '\n'.join('| ' + ' | '.join(line) + ' |' for line in lines)


def provenance(rows) -> str:
    """Data, seeds, versions and machines of a study."""
    lines = []
    for key, values in (
        ('data', [f'{r["data"]["name"]}, {r["data"]["test_images"]:,} test images' for r in rows]),
        ('seeds', [str(r['seed']) for r in rows]),
        ('machine', [f'{r["machine"]["cores"]} cores, {r["machine"]["platform"]}' for r in rows]),
        ('versions', [', '.join(f'{k} {v}' for k, v in r['versions'].items()) for r in rows]),
    ):
        lines.append(f'* {key}: {"; ".join(dict.fromkeys(values))}')
    return '\n'.join(lines)
