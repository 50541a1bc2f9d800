"""What every layer of hls4ml-ext is made of: the IR node, its templates, and the graph builder that creates it."""

from hls4ml_ext.layers.core.builder import GraphBuilder
from hls4ml_ext.layers.core.kernel import HLSKernel
from hls4ml_ext.layers.core.memory import Memory, Products
from hls4ml_ext.layers.core.node import ExactLayer

__all__ = ['ExactLayer', 'GraphBuilder', 'HLSKernel', 'Memory', 'Products']
