"""Registration with hls4ml."""

from hls4ml.backends.backend import get_backend
from hls4ml.model.flow.flow import flow_map
from hls4ml.model.layers import layer_map
from hls4ml.model.optimizer.optimizer import optimizer_map

from hls4ml_ext import plugin, registry


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
        assert sum('nnet_conv2d_ext.h' in n for n in names) == 1
