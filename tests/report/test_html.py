"""The HTML report: what it holds, what it says of what is missing, and that it needs nothing but itself."""

import json
import re
from html.parser import HTMLParser

import pytest
import yaml
from typer.testing import CliRunner

from hls4ml_ext.cli import app
from hls4ml_ext.errors import ProjectError
from hls4ml_ext.project import load_project
from hls4ml_ext.report.estimate import error
from hls4ml_ext.report.html.content import content_of
from hls4ml_ext.report.html.page import REPORT, render, signed, time, write_report
from hls4ml_ext.report.plots.style import picture

PROJECT = {
    'seed': 3,
    'title': 'Cats & <dogs>',
    'data': {'source': 'digits', 'limit': 8},
    'model': {
        'builder': 'ode_mhsa',
        'stem': {'filters': 4},
        'widths': [4],
        'ode': {'n_steps': 2},
        'mhsa': {'heads': 1, 'key_dim': 3, 'n_steps': 1},
    },
    'training': 'none',
    'hls': {'backend': 'RTL', 'reuse_factor': 4},
}
SECTIONS = [
    'model',
    'accuracy',
    'exactness',
    'resources',
    'cycles',
    'timeline',
    'pareto',
    'pictures',
    'versions',
    'commands',
]
VOID = {'meta', 'link', 'img', 'br', 'hr', 'input'}
ENGINES = [
    {'name': 'c<1>', 'kind': 'conv2d', 'beats': 8, 'busy': 60, 'starved': 30, 'stalled': 10},
    {'name': 'b.d', 'kind': 'dense', 'beats': 8, 'busy': 0, 'starved': 100, 'stalled': 0},
]
LAYER = {
    'name': 'c<1>', 'kernel': 'conv2d', 'shape': [4, 4, 2], 'type': 'ap_fixed<8,2,AP_RND_CONV,AP_SAT>', 'parameters': 36,
    'weight_bits': 144, 'table_bits': 0, 'macs': 576, 'cycles': 64, 'multipliers': 9, 'dsp': 0, 'bram_18k': 1, 'uram': 0,
    'lanes': [1, 2], 'reuse_factor': 4, 'mismatches': 0, 'values': 32, 'layers': [],
}  # fmt: skip
RESULTS = {
    'data': {'name': 'digits', 'test_images': 8},
    'model': {},
    'accuracy': {'keras': 0.875, 'rtl': 0.875},
    'mismatches': {'wrong': 0, 'values': 112, 'outputs': 0, 'first': None},
    'layers': [LAYER],
    'versions': {'python': '3.x', 'hls4ml': '1.3.0'},
    'machine': {'platform': 'a<b', 'cores': 2},
    'seconds': {'simulate': 1.5},
    'training': {},
    'cycles': {'interval': 64, 'latency': 90, 'images': 4, 'cycles': 100, 'engines': ENGINES, 'images_per_second': 3.1e6},
    'build': {
        'YosysSynthReport': {'LUT': 120, 'FF': 80, 'DSP': 0, 'BRAM_18K': 1, 'URAM': 0, 'AvailableLUT': 1000,
                             'EstimatedClockPeriod': 2.5, 'TargetClockPeriod': 5},
        'Engines': [{'name': 'c<1>', 'LUT': 100, 'FF': 70, 'DSP': 0, 'BRAM_18K': 1, 'URAM': 0},
                    {'name': '', 'LUT': 20, 'FF': 10, 'DSP': 0, 'BRAM_18K': 0, 'URAM': 0}],
        'ImplementationReport': {'Fmax': 106.4, 'TargetMHz': 100, 'Bitstream': 'x.bit'},
    },
}  # fmt: skip
TIMELINE = {
    'bin_cycles': 50,
    'begins': [0, 10, 20, 30],
    'ends': [40, 60, 80, 99],
    'engines': [
        {'name': 'c<1>', 'kind': 'conv2d', 'blocks': [], 'beats': [4, 4], 'busy': [30, 30], 'starved': [15, 15],
         'stalled': [5, 5]},
        {'name': 'b.d', 'kind': 'dense', 'blocks': ['b'], 'beats': [4, 4], 'busy': [0, 0], 'starved': [50, 50],
         'stalled': [0, 0]},
    ],
}  # fmt: skip


class Page(HTMLParser):
    """Checks that elements are closed in their order, and collects what is in them."""

    def __init__(self, text: str):
        super().__init__()
        self.open, self.ids, self.addresses, self.tags, self.links, self.text = [], [], [], [], [], ''
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        values = dict(attributes)
        assert len(values) == len(attributes)
        if 'id' in values:
            self.ids.append(values['id'])
        for key in ('src', 'srcset', 'data', 'poster', 'action'):
            if key in values:
                self.addresses.append(values[key])
        if 'href' in values:
            (self.links if tag == 'a' else self.addresses).append(values['href'])
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if 'style' not in self.open:
            self.text += data


def checked(text: str) -> Page:
    """The page of a report, which is one well-formed file that asks for nothing."""
    page = Page(text)
    assert text.startswith('<!DOCTYPE html>') and page.ids == SECTIONS
    assert all(address.startswith('data:') for address in page.addresses)
    assert all(link.startswith('https://') or link.removeprefix('#') in SECTIONS for link in page.links)
    assert not {'script', 'iframe', 'object', 'embed', 'base', 'form'} & set(page.tags)
    assert 'url(' not in text and '@import' not in text and 'http-equiv' not in text
    return page


@pytest.fixture
def project(tmp_path):
    def written(**changes):
        path = tmp_path / 'p.yml'
        path.write_text(yaml.safe_dump({**PROJECT, **changes}))
        return load_project(path)

    return written


def report(project, directory, results=None, timeline=None, **arguments) -> tuple[str, Page]:
    if results:
        directory.mkdir(exist_ok=True)
        results = {'hls': project.hls.model_dump(mode='json'), **results}
        (directory / 'results.json').write_text(json.dumps(results))
    if timeline:
        (directory / 'timeline.json').write_text(json.dumps(timeline))
    text = render(
        content_of(project, directory, arguments.pop('layers', None), arguments.pop('estimate', None), **arguments)
    )
    return text, checked(text)


def test_a_report_of_nothing_says_what_makes_it(project, tmp_path):
    text, page = report(project(), tmp_path / 'run', problem='layer <x>: no')
    for words in ('There is no model yet', 'has not been simulated', 'There is no estimate', 'No cycles have been counted',
                  'There is no timeline', 'No foldings have been compared', 'not been measured', 'has not been trained',
                  'could not be estimated: layer <x>: no', 'Cats & <dogs>'):  # fmt: skip
        assert words in page.text
    for verb in ('train', 'run', 'evaluate', 'plot', 'estimate', 'tune', 'report'):
        assert f'hls4ml-ext {verb} {tmp_path}/p.yml -o {tmp_path}/run' in page.text
    assert '<dogs>' not in text and 'data:image' not in text


def test_a_report_of_a_run(project, tmp_path):
    text, page = report(project(), tmp_path / 'run', RESULTS, TIMELINE)
    assert text.count('src="data:image/png;base64,') == 2  # the timeline and the utilisation
    for words in ('0 of 112 values differ', '87.50 %', 'Placed and routed: 106.4 MHz', '2.50 ns', 'a<b, 2 cores', 'c<1>',
                  'The weights are random', 'ap_fixed<8,2>', '1.5 s', '100 cycles of the simulated RTL'):  # fmt: skip
        assert words in page.text
    assert 'c<1>' not in text and 'AP_RND' not in text
    for words in (
        'has not been simulated',
        'There is no timeline',
        'No cycles',
        'not been synthesized',
        'other hls settings',
    ):
        assert words not in page.text
    assert sorted(p.name for p in (tmp_path / 'run').iterdir()) == [
        'results.json', 'timeline.json', 'timeline.png', 'utilisation.png',
    ]  # fmt: skip


def test_values_that_differ_are_shown(project, tmp_path):
    wrong = {'wrong': 3, 'values': 112, 'outputs': 1, 'first': 'c<1>'}
    _, page = report(project(), tmp_path / 'run', {**RESULTS, 'mismatches': wrong, 'layers': [{**LAYER, 'mismatches': 2}]})
    assert '3 of 112 values differ, first in c<1>.' in page.text


def test_what_is_out_of_date_is_said(project, tmp_path):
    results = {**RESULTS, 'hls': {'backend': 'Vitis'}, 'training': {'fingerprint': 'a'}}
    (tmp_path / 'run').mkdir()
    (tmp_path / 'run/training.json').write_text(json.dumps({'fingerprint': 'b', 'phases': []}))
    _, page = report(project(), tmp_path / 'run', results)
    assert 'made with other hls settings' in page.text
    assert 'trained again since it was simulated' in page.text
    assert 'The project file has changed since the model was trained' in page.text


def test_pictures_of_the_run(project, tmp_path):
    (tmp_path / 'run').mkdir()
    for name in ('curves.png', 'attention.png', 'pareto.png'):
        with picture(tmp_path / 'run' / name, 1, 1):
            pass
    point = {'estimated_throughput_fps': 4321.0, 'max_cycles': 77, 'estimated_latency_ns': 2e6, 'max_cycles_node_name': 'n<',
             'LUT': 12345, 'FF': 1, 'BRAM_18K': 2, 'DSP': 3, 'URAM': 0, 'device': 'ZCU104'}  # fmt: skip
    (tmp_path / 'run/pareto.json').write_text(json.dumps({'points': [point]}))
    text, page = report(project(), tmp_path / 'run', {**RESULTS, 'data': {'name': 'CIFAR-10', 'test_images': 8}})
    assert '4,321' in page.text and '12,345' in page.text and '2 ms' in page.text and 'Estimates for the ZCU104' in page.text
    assert text.count('src="data:image/png;base64,') == 4  # these, and the utilisation
    assert 'Attention maps' in page.text and 'ResNet-8' in page.text and 'No foldings' not in page.text
    assert 'https://arxiv.org/abs/2309.15631' in page.links


def test_damaged_files_are_taken_for_missing(project, tmp_path):
    (tmp_path / 'run').mkdir()
    for name in ('results.json', 'timeline.json', 'evaluation.json', 'training.json'):
        (tmp_path / 'run' / name).write_text('{"half": ')
    _, page = report(project(), tmp_path / 'run')
    assert 'has not been simulated' in page.text


def test_a_file_of_the_user_is_left_alone(project, tmp_path):
    path = tmp_path / REPORT
    path.write_text('<h1>mine</h1>')
    content = content_of(project(), tmp_path / 'run', None, None)
    with pytest.raises(ProjectError, match=r"report.html' was not written by hls4ml-ext report, and is left as it is"):
        write_report(content, path)
    assert path.read_text() == '<h1>mine</h1>'
    path.unlink()
    first = write_report(content, path).read_text()
    assert write_report(content, path).read_text() == first  # one of ours is replaced
    path.unlink()
    path.mkdir()
    with pytest.raises(ProjectError, match="report.html' can't be read: Is a directory"):
        write_report(content, path)


def test_a_network_in_cpp(project, tmp_path):
    """There is no model of the LUTs of C++: they are said to be unknown, and not drawn."""
    row = {'name': 'c<1>', 'kind': 'conv2d', 'block': '', 'inserted': False, 'SIMD': 1, 'PE': 2, 'cycles': 64, 'LUT': None,
           'FF': None, 'DSP': 3, 'BRAM_18K': 0, 'URAM': 0}  # fmt: skip
    estimate = {
        'device': 'ZCU104', 'max_cycles': 64, 'max_cycles_node_name': 'c<1>', 'estimated_latency_cycles': 99, 'LUT': None,
        'FF': None, 'DSP': 3, 'BRAM_18K': 0, 'URAM': 0, 'fits': True, 'limiting_resource': 'DSP', 'known_error': None,
        'estimated_throughput_fps': 1000.0, 'layers': [row, {**row, 'name': 'r', 'inserted': True}],
        'available': {'LUT': 100, 'FF': 100, 'DSP': 10, 'BRAM_18K': 10, 'URAM': 0},
    }  # fmt: skip
    vitis = project(hls={'backend': 'Vitis'})
    text, page = report(vitis, tmp_path, estimate=estimate, layers=[LAYER])
    for words in ('As far as it is known, the network fits the ZCU104', 'known for the RTL back end only',
                  'between them (1)', 'Cycles are counted in RTL: with backend: RTL'):  # fmt: skip
        assert words in page.text
    assert 'LUT (est.)' not in page.text and 'DSP (est.)' in page.text and text.count('src="data:image/png') == 1


def test_the_command(project, tmp_path):
    """Of a project that hasn't been run, in a folder of its own: the estimate is made, of the model before training."""
    project()

    def invoke(*arguments):
        return CliRunner().invoke(app, ['report', str(tmp_path / 'p.yml'), '-o', str(tmp_path / 'run'), *arguments])

    result = invoke()
    assert result.exit_code == 0, result.output
    assert str(tmp_path / 'run' / REPORT) in result.output.replace('\n', '')
    text = (tmp_path / 'run' / REPORT).read_text()
    page = checked(text)
    assert 'By the estimate the network fits the ZCU104' in page.text
    assert re.search(r'LUT and FF are estimated, off by LUT \d+\.\d% and at most \d+%', page.text)
    assert 'By its formulas the network takes an image every' in page.text and 'images per second' in page.text
    assert 'depthwise_conv2d' in page.text and text.count('src="data:image/png') == 1
    (tmp_path / 'run' / REPORT).write_text('mine')
    result = invoke()
    assert result.exit_code == 2 and (tmp_path / 'run' / REPORT).read_text() == 'mine'


def test_numbers():
    assert [time(s) for s in (None, 61.5, 0.0002131, 0.25, 3e-7)] == ['–', '61.5 s', '213 µs', '250 ms', '0.3 µs']
    assert [signed(s) for s in (0.0123, -0.5, None)] == ['+1.2 %', '−50.0 %', '–']
    lut, ff = {'median': 0.05, 'worst': 0.2, 'engines': 30}, {'median': 0.01, 'worst': 0.1, 'engines': 30}
    known = {
        'engines': {'LUT': lut, 'FF': ff},
        'large': {'LUT': {'worst': 0.12}},
        'networks': {'digits': {'LUT': -0.04, 'FF': 0.1}},
    }
    assert error(known).startswith(
        'off by LUT 5.0% and at most 12%, FF 1.0% and at most 10% (engines that were not in the fit'
    )
    assert error(known).endswith('; LUT of whole networks: digits -4.0%')
