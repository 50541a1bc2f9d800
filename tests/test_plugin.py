"""Registration with hls4ml."""

import keras
import numpy as np
import pytest
import qkeras
from hls4ml.backends.backend import get_backend
from hls4ml.converters.keras_v3 import _base as keras_v3
from hls4ml.converters.keras_v3_to_hls import parse_keras_v3_model
from hls4ml.model.flow.flow import flow_map
from hls4ml.model.layers import layer_map
from hls4ml.model.optimizer.optimizer import optimizer_map

from hls4ml_ext import plugin, registry
from hls4ml_ext.layers.core.handler import (
    PlaceholderHandler,
    SteppingBackHandler,
    handler_of_hls4ml,
    register_handler,
)
from hls4ml_ext.layers.qkeras.handlers import register_handlers


def state():
    flows = {name: (list(flow.optimizers), list(flow.requires)) for name, flow in flow_map.items()}
    sources = {b: list(map(str, get_backend(b).get_custom_source())) for b in ('vivado', 'vitis')}
    return dict(layer_map), dict(optimizer_map), flows, sources, registry.operations()


def test_registering_again_changes_nothing():
    before = state()
    plugin.register()
    plugin.register(register_backend=None, register_writer=None)
    assert state() == before


def test_our_flow_runs_before_all_others():
    assert flow_map['convert'].requires[0] == plugin.FLOW
    assert flow_map['vivado:specific_types'].optimizers.count('fifo_depths') == 1
    assert 'vivado:specific_types' in flow_map['vitis:ip'].requires


def test_every_operation_is_complete():
    operations = registry.operations()
    assert {'convolution', 'pooling', 'merge', 'activation'} <= {op.name for op in operations}
    for operation in operations:
        operation.check_parts() if hasattr(operation, 'check_parts') else operation.check()


def test_headers_are_registered_once_for_each_backend():
    for backend in ('vivado', 'vitis'):
        names = [str(p) for p in get_backend(backend).get_custom_source()]
        assert len(names) == len(set(names))
        assert sum('nnet_matvec_ext.h' in n for n in names) == 1


# ---------------------------------------------------------------------------------------------------------------------
# hls4ml's parser of Keras models
# ---------------------------------------------------------------------------------------------------------------------

WEIGHTS = 'quantized_bits(4,0,alpha=1)'


def register_ours():
    register_handlers()
    for operation in registry.operations():
        register_handler(operation.unknown_to_hls4ml, PlaceholderHandler())


@pytest.fixture
def handlers():
    """The registry of Keras-3 handlers as of hls4ml 1.3, which has none for QKeras, with ours; put back afterwards."""
    before = dict(keras_v3.registry)
    for key in before:
        if key.startswith('qkeras.') or key == 'QActivation':
            del keras_v3.registry[key]
    register_ours()
    yield keras_v3.registry
    keras_v3.registry.clear()
    keras_v3.registry.update(before)


def model_of(*layers):
    x = inputs = keras.Input((4, 4, 2), name='image')
    for layer in layers:
        x = layer(x)
    return keras.Model(inputs, x)


def parsed(model):
    """What hls4ml's parser makes of a model, as plain data."""

    def plain(value):
        if isinstance(value, np.ndarray):
            return value.tolist()
        if isinstance(value, (list, tuple)):
            return [plain(v) for v in value]
        return value if isinstance(value, (str, int, float, type(None))) else type(value).__name__

    layers = parse_keras_v3_model(model, allow_da_fallback=False)[0]
    return [{key: plain(value) for key, value in layer.items()} for layer in layers]


@pytest.mark.parametrize('activation', [None, 'linear', 'relu', 'softmax', keras.activations.tanh])
def test_layers_that_hls4ml_can_read_are_read_by_hls4ml(activation, handlers, capsys):
    """Regression: with the plugin, stock conversion lost the ReLU of ``QConv2D(activation='relu')``."""
    model = model_of(
        qkeras.QConv2D(3, 2, kernel_quantizer=WEIGHTS, bias_quantizer=WEIGHTS, activation=activation, name='c'),
        qkeras.QDepthwiseConv2D(2, depthwise_quantizer=WEIGHTS, bias_quantizer=WEIGHTS, activation=activation, name='dw'),
        keras.layers.Flatten(name='f'),
        qkeras.QDense(3, kernel_quantizer=WEIGHTS, bias_quantizer=WEIGHTS, activation=activation, name='d'),
    )
    with_us = parsed(model), capsys.readouterr()
    for key in [key for key, handler in handlers.items() if isinstance(handler, SteppingBackHandler)]:
        del handlers[key]
    assert (parsed(model), capsys.readouterr()) == with_us
    assert len(with_us[0]) == (5 if activation in (None, 'linear') else 8)


def test_layers_that_hls4ml_cannot_read_are_read_by_us(handlers):
    model = model_of(qkeras.QActivation('quantized_relu(6,2)', name='q'))
    assert [layer['class_name'] for layer in parsed(model)] == ['InputLayer', 'Activation']
    del handlers['qkeras.qlayers.QActivation']
    with pytest.raises(AssertionError, match='Activation function for layer q is not a function'):
        parsed(model)


@pytest.mark.parametrize('module', ['qkeras.{}.', 'qkeras.moved.', ''])
@pytest.mark.parametrize('order', [('theirs', 'ours'), ('ours', 'theirs'), ('ours', 'theirs', 'ours')])
def test_our_handlers_step_back_when_hls4ml_has_its_own(order, module, handlers):
    """As of hls4ml's next release: its handlers are used, in whichever order they and ours were registered."""
    layers = {
        'QActivation': qkeras.QActivation('quantized_bits(6,2,alpha=1)', name='a'),
        'QConv2D': qkeras.QConv2D(3, 2, kernel_quantizer=WEIGHTS, activation='quantized_relu(4,1)', name='c'),
        'QGlobalAveragePooling2D': qkeras.QGlobalAveragePooling2D(name='pool'),
        'QDense': qkeras.QDense(3, kernel_quantizer=WEIGHTS, activation='quantized_relu(4,1)', name='d'),
    }
    theirs = {'QActivation', 'QConv2D', 'QGlobalAveragePooling2D'}
    for key, handler in list(handlers.items()):
        if isinstance(handler, SteppingBackHandler):
            del handlers[key]

    def register_theirs():
        class Handler(keras_v3.KerasV3LayerHandler):
            handles = tuple(module.format(layers[name].__module__.split('.')[1]) + name for name in theirs)

            def handle(self, layer, in_tensors, out_tensors):
                return ({**self.default_config, 'by': 'hls4ml'},)

    for register in order:
        {'theirs': register_theirs, 'ours': register_ours}[register]()
    by = {layer['name']: layer.get('by') for layer in parsed(model_of(*layers.values()))}
    assert by == {'image': None, 'a': 'hls4ml', 'c': 'hls4ml', 'pool': 'hls4ml', 'd': None, 'd_activation': None}


def test_handlers_of_other_packages_are_not_mistaken_for_those_of_qkeras(handlers):
    """hls4ml has had handlers for HGQ2's QActivation and QDense ever since."""
    assert 'hgq.layers.activation.QActivation' in handlers
    assert handler_of_hls4ml('qkeras.qlayers.QActivation') is None
    handlers['Mine'] = object()
    assert handler_of_hls4ml('my_package.Mine') is None
