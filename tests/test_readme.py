"""The code of the README, as it is printed."""

import re
from pathlib import Path

import keras
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
    names['model'] = keras.Model(names['model'].inputs, names['model'].get_layer('mhsa').output)  # a map
    exec(first, names)


def test_what_the_readme_says_of_quantizers():
    """The scale of bytes, and the range of an average_quantizer."""
    from qkeras.quantizers import get_quantizer

    from hls4ml_ext.quantizers import activation_type

    text = README.read_text()
    images = re.search(r'`images = (\(pixels\.astype.*?)`', text)[1]
    integer = re.search(r'`integer = (.*?)`', text)[1]
    pixels = np.arange(256, dtype=np.uint8)
    scaled = eval(images, {'pixels': pixels})
    quantize = get_quantizer('quantized_bits(8,0,alpha=1)')
    assert (np.asarray(quantize(scaled)) == scaled).all() and len(set(scaled)) == 256
    assert (np.asarray(quantize(np.float32([-1000, 1000]))) == scaled[[0, -1]]).all()
    for height, width in (16, 16), (8, 8), (7, 7), (10, 10), (1, 2), (3, 5), (96, 96):
        wanted = eval(integer, {'height': height, 'width': width})
        factor = 1 / (height * width)
        smaller, enough = (get_quantizer(f'quantized_bits(10,{i},alpha=1)') for i in (wanted - 1, wanted))
        largest = [t.hi * 2.0**-t.frac for t in (activation_type(q, 'x') for q in (smaller, enough))]
        assert largest[0] < factor <= largest[1]
        rounded = float(np.asarray(enough(factor)))
        assert abs(rounded / factor - 1) <= 2**-9
        assert rounded == factor or (height * width) & (height * width - 1)


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
