"""hls4ml-ext: Neural-ODE blocks and self-attention for hls4ml, equal to Keras bit for bit."""

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version

import hls4ml  # noqa: F401  first: it loads our plugin, which imports modules of this package

try:
    __version__ = version('hls4ml-ext')
except PackageNotFoundError:  # imported from a checkout that isn't installed
    __version__ = '0+unknown'

# Where each public name lives. They are imported on first use: `import hls4ml` loads this package as a plugin and must not
# pull in Keras.
_NAMES = {
    'ODEBlock': 'layers.ode.keras',
    'Solver': 'layers.ode.solvers',
    'MultiHeadSelfAttention2D': 'layers.attention.keras',
    'QLayerNormalization': 'layers.normalization.keras',
    'fold_batchnorm': 'layers.normalization.batchnorm',
    'load_model': 'saving',
    'config_from_model': 'conversion',
    'convert': 'conversion',
    'compile': 'simulation',
    'simulate': 'simulation',
    'compare': 'comparison',
    'measure_cycles': 'rtl.cycles',
    'estimate': 'estimation',
    'tune': 'tuning',
    'predict': 'prediction',
    'Operation': 'registry',
    'register_operation': 'registry',
    'ExactLayer': 'layers.core',
    'GraphBuilder': 'layers.core',
    'HLSKernel': 'layers.core',
    'RTLKernel': 'rtl.kernel',
    'Memory': 'layers.core',
    'Products': 'layers.core',
    'FixedType': 'fixed',
    'ExtError': 'errors',
    'ConversionError': 'errors',
    'PrecisionError': 'errors',
    'SettingsError': 'errors',
    'ProjectError': 'errors',
}

__all__ = ['__version__', *_NAMES]


def __getattr__(name):
    if name in _NAMES:
        value = getattr(import_module(f'{__name__}.{_NAMES[name]}'), name)
        globals()[name] = value
        return value
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')


def __dir__():
    return sorted([*globals(), *_NAMES])
