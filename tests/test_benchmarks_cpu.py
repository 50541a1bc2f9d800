"""The part of the CPU benchmark that is arithmetic: what is derived for a Cortex-A53 from published times."""

import importlib.util
from pathlib import Path

import pytest

FILE = Path(__file__).parents[1] / 'benchmarks' / 'cpu.py'


@pytest.fixture(scope='module')
def cpu():
    spec = importlib.util.spec_from_file_location('benchmark_cpu', FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_time_has_a_source_and_a_network(cpu):
    table = cpu.published()
    assert len(table['times']) > 8
    for row in table['times']:
        assert row['library'] in table['sources'] and row['network'] in table['networks'] and row['ms'] > 0
    for network in table['networks'].values():
        assert network['source'] in table['sources'] and network['macs'] > 10**8


def test_throughput_scales_with_the_clock(cpu):
    """Multiply-accumulates a second of published networks, lowest and highest."""
    table = cpu.published()
    times = [row for row in table['times'] if row['bits'] == 'int8' and row['threads'] == 4]
    rates = [table['networks'][row['network']]['macs'] / (row['ms'] / 1e3) * 1.2 / table['clock_ghz'] for row in times]
    assert cpu.throughput(table, 'int8', 4) == pytest.approx((min(rates), max(rates)))
    slow, fast = (cpu.throughput(table, 'float', 4, clock) for clock in (0.6, 1.2))
    assert fast == pytest.approx([2 * x for x in slow])
