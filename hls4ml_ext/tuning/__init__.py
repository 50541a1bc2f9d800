"""Finds the folding of a network that meets a target on an FPGA at the least cost, or is the fastest that fits."""

from hls4ml_ext.tuning.tune import Point, Tuning, pareto, tune

__all__ = ['Point', 'Tuning', 'pareto', 'tune']
