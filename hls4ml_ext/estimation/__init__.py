"""What a converted network costs on an FPGA and how fast it is there, from its graph alone: no compiler, no tool."""

from hls4ml_ext.estimation.estimate import Estimate, LayerEstimate, estimate
from hls4ml_ext.estimation.layers import layer_cost, layer_engines

__all__ = ['Estimate', 'LayerEstimate', 'estimate', 'layer_cost', 'layer_engines']
