"""Tables of a run's results, for a terminal of 100 columns."""

from __future__ import annotations

from rich import box
from rich.panel import Panel
from rich.table import Table
from rich.text import Text


def short(n: float) -> str:
    """A number in at most six characters: 1234567 -> '1.23 M'."""
    for limit, unit in ((1e9, 'G'), (1e6, 'M'), (1e4, 'k')):
        if abs(n) >= limit:
            n = n / (1e3 if unit == 'k' else limit)
            return f'{n:.{max(0, 2 - len(str(int(abs(n)))) + 1)}f} {unit}'
    return f'{n:,.0f}' if n == int(n) else f'{n:.3g}'


def bits(n: float) -> str:
    """A number of bits: 1424 -> '1,424 bit', 1234567 -> '1.23 Mbit'."""
    number = short(n)
    return f'{number}bit' if number[-1].isalpha() else f'{number} bit'


COLUMNS = ('layer', 'output', 'params', 'bits', 'MACs', 'cycles', 'mult.')


def layer_table(layers: list[dict], total: dict, width: int = 100) -> Table:
    """A row for each layer, those inside of ODE blocks indented.

    Args:
        layers: From :func:`hls4ml_ext.report.facts.layer_facts`; with ``mismatches`` and ``values`` where compared.
        total: From :func:`hls4ml_ext.report.facts.totals`.
        width: Columns of the terminal.
    """
    compared = any('mismatches' in layer for layer in layers)
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False, show_footer=True)
    footer = ['total', '', *_numbers({**total, 'cycles': total['interval']})]
    for i, header in enumerate(COLUMNS):
        table.add_column(header, justify='left' if i == 0 else 'right', footer=footer[i], no_wrap=True)
    if compared:
        table.add_column('mismatches' if width >= 90 else 'differ', justify='right', no_wrap=True)
    for layer in layers:
        _add(table, layer, '', compared, width)
    return table


def _numbers(facts: dict) -> list[str]:
    """Parameters, weight bits, multiply-accumulates, cycles and multipliers; nothing for none."""
    exact = [f'{facts[key]:,}' if facts[key] else '' for key in ('parameters', 'cycles', 'multipliers')]
    rounded = [short(facts[key]) if facts[key] else '' for key in ('weight_bits', 'macs')]
    return [exact[0], *rounded, *exact[1:]]


def _add(table: Table, layer: dict, prefix: str, compared: bool, width: int):
    name = ('  ' if prefix else '') + layer['name'].removeprefix(prefix)
    cells = [name, 'x'.join(map(str, layer['shape'])), *_numbers(layer)]
    table.add_row(*cells, *([_mismatches(layer, width)] if compared else []), style='dim' if prefix else '')
    for inner in layer['layers']:
        _add(table, inner, layer['name'] + '.', compared, width)


def _mismatches(layer: dict, width: int):
    if 'mismatches' not in layer:
        return ''
    of = f' of {short(layer["values"])}' if width >= 90 else ''
    return Text(f'{layer["mismatches"]:,}{of}', style='red bold' if layer['mismatches'] else 'green')


def summary(results: dict) -> Table:
    """Accuracy, size and throughput in a few lines."""
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(style='bold')
    table.add_column()
    data, model, accuracy = results['data'], results['model'], results['accuracy']
    if accuracy['keras'] is not None:
        note = '  (random weights: it means nothing)' if model['random_weights'] else ''
        simulated = next(accuracy[key] for key in SIMULATIONS if key in accuracy)
        table.add_row('accuracy', f'Keras {accuracy["keras"]:.2%}, {simulation(results)} {simulated:.2%}{note}')
    table.add_row('test images', f'{data["test_images"]:,} ({data["name"]})')
    table.add_row('parameters', f'{model["parameters"]:,} in {bits(model["weight_bits"])} on chip')
    table.add_row('work', f'{short(model["macs"])} MAC an image, {model["multipliers"]:,} multipliers')
    table.add_row('memories, DSPs', usage(model, results['hls']['part']))
    period = results['hls']['clock_period']
    time = f'{model["interval"] * period / 1e6:.3g} ms at {1000 / period:g} MHz'
    table.add_row('interval', f'{model["interval"]:,} cycles an image ({time}), set by {model["slowest"]}')
    return table


SIMULATIONS = {'csim': 'C simulation', 'rtl': 'RTL simulation'}
"""What the simulations are called in ``results.json`` -> what they are called here."""


def simulation(results: dict) -> str:
    """What was simulated."""
    return next(text for key, text in SIMULATIONS.items() if key in results['accuracy'])


def throughput(cycles: dict, clock_period: float) -> Text:
    """A line about counted cycles.

    Args:
        cycles: From :meth:`hls4ml_ext.run.Run.count_cycles`.
        clock_period: In ns.
    """
    latency = cycles['latency'] * clock_period / 1e6
    return Text.assemble(
        ('counted  ', 'bold'),
        f'{cycles["interval"]:,} cycles an image, {cycles["images_per_second"]:,.0f} images per second at '
        f'{1000 / clock_period:g} MHz; latency {latency:.3g} ms',
    )


def usage(total: dict, part: str) -> str:
    """Block RAMs, UltraRAMs and DSPs that a network declares, against those of the device.

    Args:
        total: From :func:`hls4ml_ext.report.facts.totals`.
        part: The FPGA.
    """
    from hls4ml_ext.devices import device_of_part

    device = device_of_part(part)
    counts = (
        ('block RAMs', total['bram_18k'] / 2, device and device.bram_36k),
        ('UltraRAMs', total['uram'], device and device.uram),
        ('DSPs', total['dsp'], device and device.dsp),
    )
    if device is None:
        return ', '.join(f'{count:,g} {name}' for name, count, _ in counts)
    shares = [f'{count:,g} of {have:,} {name} ({count / have:.0%})' for name, count, have in counts if have]
    return f'{", ".join(shares)} of the {device.board}'


def verdict(results: dict) -> Panel:
    """Whether the simulation equals Keras."""
    wrong, values = results['mismatches']['wrong'], results['mismatches']['values']
    if wrong == 0:
        text, colour = f'The {simulation(results)} equals Keras bit for bit: 0 of {values:,} values differ.', 'green'
    else:
        first = results['mismatches']['first']
        text, colour = (
            f'The {simulation(results)} differs from Keras: {wrong:,} of {values:,} values, first in {first}.',
            'red',
        )
    return Panel(text, border_style=colour, expand=False)
