"""An operation with a missing part is refused when it is registered."""

import dataclasses

import pytest

from hls4ml_ext import ExtError, registry
from hls4ml_ext.layers.core import ExactLayer
from hls4ml_ext.layers.merge.operation import OPERATION


class NotExact:
    kind = 'x'


class NoKind(ExactLayer):
    pass


class NoKernel(ExactLayer):
    kind = 'x'


def altered(**changes):
    return dataclasses.replace(OPERATION, name='altered', **changes)


@pytest.mark.parametrize(
    ('operation', 'message'),
    [
        (altered(headers=(OPERATION.headers[0].with_name('missing.h'),)), 'no such header: .*missing.h'),
        (altered(headers=()), 'AddKernel wants nnet_add_ext.h, which is not among its headers'),
        (altered(kernels=()), 'node ExactAdd has no kernel'),
        (altered(nodes=()), 'AddKernel spells a node that is not among its nodes'),
        (altered(nodes=(NoKind,)), 'node NoKind does not say its kind'),
        (altered(nodes=(NotExact,)), 'NotExact is not a subclass of ExactLayer'),
        (altered(nodes=(NoKernel,)), 'node NoKernel has no kernel'),
        (altered(unknown_to_hls4ml=('a.B',)), 'no lowering for a.B'),
    ],
)
def test_missing_parts(operation, message):
    before = registry.operations()
    with pytest.raises(ExtError, match=f"operation 'altered': .*{message}"):
        registry.register_operation(operation)
    assert registry.operations() == before


def test_names_of_hls4ml_are_taken():
    node = type('Dense', (OPERATION.nodes[0],), {})
    kernel = type('DenseKernel', (OPERATION.kernels[0],), {'node': node})
    with pytest.raises(ExtError, match='hls4ml already has a layer called Dense'):
        registry.register_operation(altered(nodes=(node,), kernels=(kernel,)))


def test_another_operation_of_the_same_name():
    registry.register_operation(OPERATION)  # the same again: nothing happens
    with pytest.raises(ExtError, match="there already is an operation 'merge'"):
        registry.register_operation(dataclasses.replace(OPERATION, lowerings={}))
