"""An operation with a missing part is refused when it is registered."""

import dataclasses

import pytest

from hls4ml_ext import ExtError, registry
from hls4ml_ext.layers.core import ExactLayer
from hls4ml_ext.layers.merge.operation import OPERATION


class NotExact:
    kernel = header = 'x'


class NoKernel(ExactLayer):
    pass


def altered(**changes):
    return dataclasses.replace(OPERATION, name='altered', **changes)


@pytest.mark.parametrize(
    ('operation', 'message'),
    [
        (altered(headers=(OPERATION.headers[0].with_name('missing.h'),)), 'no such header: .*missing.h'),
        (altered(headers=()), 'node ExactAdd wants nnet_utils/nnet_add_ext.h, which is not among its headers'),
        (altered(templates=OPERATION.templates[:1]), 'node ExactAdd has no FunctionCallTemplate'),
        (altered(templates=OPERATION.templates[1:]), 'node ExactAdd has no LayerConfigTemplate'),
        (altered(nodes=(NotExact,)), 'NotExact is not a subclass of ExactLayer'),
        (altered(nodes=(NoKernel,)), 'NoKernel has no LayerConfigTemplate'),
        (altered(unknown_to_hls4ml=('a.B',)), 'no lowering for a.B'),
    ],
)
def test_missing_parts(operation, message):
    before = registry.operations()
    with pytest.raises(ExtError, match=f"operation 'altered': .*{message}"):
        registry.register_operation(operation)
    assert registry.operations() == before


def test_node_without_a_kernel():
    class Config(type(OPERATION.templates[0]())):
        def __init__(self):
            super(type(OPERATION.templates[0]()), self).__init__(NoKernel)

    class Call(type(OPERATION.templates[1]())):
        def __init__(self):
            super(type(OPERATION.templates[1]()), self).__init__(NoKernel)

    with pytest.raises(ExtError, match='node NoKernel names no kernel'):
        registry.register_operation(altered(nodes=(NoKernel,), templates=(Config, Call)))


def test_names_of_hls4ml_are_taken():
    from hls4ml.model.layers import layer_map

    taken = next(name for name in layer_map if name == 'Dense')
    node = type(taken, (type('Base', (OPERATION.nodes[0],), {}),), {})
    config = type(
        'C', (OPERATION.templates[0],), {'__init__': lambda self: super(OPERATION.templates[0], self).__init__(node)}
    )
    call = type(
        'F', (OPERATION.templates[1],), {'__init__': lambda self: super(OPERATION.templates[1], self).__init__(node)}
    )
    with pytest.raises(ExtError, match='hls4ml already has a layer called Dense'):
        registry.register_operation(altered(nodes=(node,), templates=(config, call)))


def test_another_operation_of_the_same_name():
    registry.register_operation(OPERATION)  # the same again: nothing happens
    with pytest.raises(ExtError, match="there already is an operation 'merge'"):
        registry.register_operation(dataclasses.replace(OPERATION, lowerings={}))
