"""The tables and pictures of a study."""

from __future__ import annotations

from pathlib import Path

from hls4ml_ext.report.tables import short


def write(study: dict, directory: Path) -> list[Path]:
    """Writes ``study.md`` and the pictures.

    Args:
        study: The content of ``study.json``, see :class:`hls4ml_ext.study.StudyRun`.
        directory: Where to.

    Returns:
        The files.
    """
    from hls4ml_ext.report.plots import study as plots

    rows = study['rows']
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
    page.write_text(markdown(study))
    return [page, *pictures]


def markdown(study: dict) -> str:
    """The tables of a study as a Markdown page."""
    rows = study['rows']
    models = [row for row in rows if row['role'] in ('headline', 'model')]
    bits = _by_bits(rows)
    parts = [f'# {study["title"]}', '## Models', table(MODEL_COLUMNS, [_model_cells(row) for row in models])]
    if bits:
        parts += ['## Bit widths', table(BITS_COLUMNS, [_bits_cells(row) for row in bits])]
    stepped = [row for row in rows if row['accuracy']['steps']]
    if stepped:
        numbers = list(next(iter(stepped[0]['accuracy']['steps'].values())))
        cells = [
            [_label(row, kind), *(percent(found.get(n)) for n in numbers)]
            for row in stepped
            for kind, found in row['accuracy']['steps'].items()
        ]
        parts += ['## Steps of the solver', table(['model', *(f'N = {n}' for n in numbers)], cells)]
    return '\n\n'.join([*parts, provenance(rows)]) + '\n'


MODEL_COLUMNS = ('model', 'parameters', 'MACs', 'weights', 'float', 'quantized', 'training')
BITS_COLUMNS = ('bits', 'float', 'PTQ min-max', 'PTQ percentile', 'PTQ mse', 'QAT', 'QAT - float')


def _by_bits(rows) -> list[dict]:
    """The main model at its bit widths, most bits first."""
    main = [row for row in rows if row['role'] in ('headline', 'bits')]
    return sorted(main, key=lambda row: (-row['quantization']['activations'], -row['quantization']['weights']))


def _model_cells(row) -> list[str]:
    accuracy, model, training = row['accuracy'], row['model'], row['training']
    how = f'{bit_widths(row)} {"QAT" if accuracy["qat_epochs"] else "PTQ"}'
    return [
        row['title'],
        f'{model["parameters"]:,}',
        short(model['macs']),
        f'{short(model["weight_bits"])}bit',
        percent(accuracy['float']),
        f'{percent(accuracy["quantized"])} ({how})',
        f'{training["seconds"] / 60:.0f} min',
    ]


def _bits_cells(row) -> list[str]:
    accuracy = row['accuracy']
    qat = accuracy['quantized'] if accuracy['qat_epochs'] else None
    lost = f'{100 * (qat - accuracy["float"]):+.2f}' if qat is not None and accuracy['float'] is not None else ''
    methods = [percent(accuracy['ptq'].get(method)) for method in ('minmax', 'percentile', 'mse')]
    return [bit_widths(row), percent(accuracy['float']), *methods, percent(qat), lost]


def _bits_row(row) -> dict:
    accuracy = row['accuracy']
    return {
        'bits': bit_widths(row),
        'float': accuracy['float'],
        'qat': accuracy['quantized'] if accuracy['qat_epochs'] else None,
        'ptq': accuracy['ptq'],
    }


def _points(row) -> list[dict]:
    """A model in the picture of accuracy against parameters: in floating point, and after QAT if there was any."""
    accuracy = row['accuracy']
    points = [(accuracy['float'], 'float'), (accuracy['quantized'] if accuracy['qat_epochs'] else None, 'qat')]
    return [
        {'name': row['title'], 'parameters': row['model']['parameters'], 'accuracy': value, 'kind': kind}
        for value, kind in points
        if value is not None
    ]


def steps_series(rows) -> dict[str, dict[int, float]]:
    """Accuracies by the number of steps: label -> number -> accuracy."""
    return {
        _label(row, kind): {int(n): value for n, value in found.items()}
        for row in rows
        for kind, found in row['accuracy']['steps'].items()
    }


def _label(row, kind: str) -> str:
    """'ODE-MHSA, QAT': a model in floating point, or quantized during or after training."""
    if kind == 'quantized':
        kind = 'QAT' if row['accuracy']['qat_epochs'] else 'PTQ'
    return f'{row["title"]}, {kind}'


def bit_widths(row) -> str:
    """'W4A8': bits of weights and of activations."""
    bits = row['quantization']
    return f'W{bits["weights"]}A{bits["activations"]}'


def percent(value) -> str:
    return '' if value is None else f'{100 * value:.2f} %'


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
