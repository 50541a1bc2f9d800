"""The code of the README, as it is printed."""

import re
from pathlib import Path

import numpy as np

import hls4ml_ext

README = Path(__file__).parents[1] / 'README.md'


def test_the_model_of_the_readme_converts_and_is_exact(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first, define, convert, simulate = re.findall(r'```python\n(.*?)```', README.read_text(), re.S)
    names = {'hls4ml_ext': hls4ml_ext, 'images': np.random.default_rng(0).normal(0, 0.5, (6, 32, 32, 3)).astype(np.float32)}
    exec(define, names)
    exec(first, names)  # asserts equality
    exec(convert, names)
    block = names['hls_model'].graph['ode1']
    assert next(n for n in block.inner_layers() if n.name == 'ode1.pw').reuse == 8
    exec(simulate, names)
    compared = hls4ml_ext.compare(names['hls_model'], names['model'], names['images'])
    assert sum(c.mismatches for c in compared) == 0 and len(compared) >= 5


def test_the_project_of_the_docs_is_valid(tmp_path):
    from hls4ml_ext.project import load_project

    page = README.parent / 'docs' / 'projects.md'
    path = tmp_path / 'example.yml'
    path.write_text(re.findall(r'```yaml\n(.*?)```', page.read_text(), re.S)[0])
    project = load_project(path)
    assert project.name == 'digits' and project.training.epochs == 30
    assert project.hls.hls_config()['LayerName']['ode1.pw1'] == {
        'ReuseFactor': 8,
        'WeightStorage': 'bram',
        'MultImpl': 'dsp',
    }
