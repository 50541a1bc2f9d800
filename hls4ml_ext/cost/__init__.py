"""What an engine takes of an FPGA, in LUTs, flip-flops, multipliers and memories, without running a tool.

An engine is a SystemVerilog module with its parameters, as an :class:`~hls4ml_ext.rtl.kernel.RTLKernel` places it. Memories
and multipliers follow from the parameters by rule; LUTs and flip-flops from a fit to synthesized engines, whose errors
:func:`known_error` tells. docs/estimate.md says how they were measured.
"""

from hls4ml_ext.cost.engine import Resources, engine_cost, families, has_cost, known_error

__all__ = ['Resources', 'engine_cost', 'families', 'has_cost', 'known_error']
