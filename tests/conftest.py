"""Fixtures for all tests. C simulations are compiled by :class:`cpp.QuickCompiler`, three times as fast as by hls4ml."""

import os

os.environ['TF_CPP_MIN_LOG_LEVEL'] = '3'
os.environ['KERAS_BACKEND'] = 'tensorflow'
os.environ.setdefault('CUDA_VISIBLE_DEVICES', '')

import cpp  # noqa: E402
import hypothesis  # noqa: E402
import pytest  # noqa: E402

pytest.register_assert_rewrite('exactness', 'rtl')
# Compilations share the machine with them: no deadlines. CI draws the same examples each time.
hypothesis.settings.register_profile('tests', deadline=None, derandomize='CI' in os.environ)
hypothesis.settings.load_profile('tests')


def pytest_addoption(parser):
    parser.addoption('--networks', type=int, default=96, help='number of random networks to test')
    parser.addoption('--rtl-networks', type=int, default=24, help='number of random networks to test in RTL')
    parser.addoption('--fifo-networks', type=int, default=12, help='number of random networks whose FIFOs to test')
    parser.addoption('--networks-seed', type=int, default=None, help='draw other random networks than CI does')


@pytest.fixture(scope='session')
def precompiled(tmp_path_factory):
    """The precompiled stock headers, once for each worker."""
    return cpp.precompile(tmp_path_factory.mktemp('precompiled'))


@pytest.fixture(autouse=True)
def quick_compiler(request, monkeypatch):
    """Compiles projects quickly, except in tests marked ``stock_compiler``."""
    if request.node.get_closest_marker('stock_compiler') is None:
        from hls4ml.backends.fpga.fpga_backend import FPGABackend

        compiler = cpp.QuickCompiler(lambda: request.getfixturevalue('precompiled'))
        monkeypatch.setattr(FPGABackend, 'compile', lambda backend, model, *flags: compiler(model, *flags))


@pytest.fixture(scope='session', autouse=True)
def rtl_cache(tmp_path_factory):
    """Verilator's models are compiled quickly, and kept until the end of the tests, for all workers."""
    import verilate

    if 'HLS4ML_EXT_CACHE' not in os.environ:
        base = tmp_path_factory.getbasetemp()
        os.environ['HLS4ML_EXT_CACHE'] = str((base.parent if 'PYTEST_XDIST_WORKER' in os.environ else base) / 'rtl-cache')
    verilate.compile_quickly()


@pytest.fixture(scope='module')
def compiled(precompiled, tmp_path_factory):
    """Function that converts and compiles a model, with tracing."""
    from exactness import convert
    from hls4ml.backends.fpga.fpga_backend import FPGABackend

    import hls4ml_ext

    def compiled(model, **kwargs):
        hls_model = convert(model, tmp_path_factory.mktemp('compiled') / 'p', **kwargs)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(FPGABackend, 'compile', lambda _, hls_model: cpp.QuickCompiler(lambda: precompiled)(hls_model))
            hls4ml_ext.compile(hls_model, trace=True)
        return hls_model

    return compiled


@pytest.fixture(autouse=True)
def seed():
    import keras

    keras.utils.set_random_seed(20240102)
    yield
    keras.backend.clear_session()


def pytest_generate_tests(metafunc):
    """Subclasses of ExactnessTest list their models, io types, backends and reuse factors as class attributes."""
    for argument, attribute in (
        ('build', 'models'),
        ('io_type', 'io_types'),
        ('backend', 'backends'),
        ('reuse', 'reuse_factors'),
        ('folding', 'foldings'),
    ):
        values = getattr(metafunc.cls, attribute, None)
        if argument in metafunc.fixturenames and values is not None:
            if isinstance(values, dict):
                metafunc.parametrize(argument, list(values.values()), ids=list(values))
            else:
                metafunc.parametrize(argument, values)
