"""A run: what a project file asks for, in a directory of its own.

``directory`` has the files of a run, ``run`` its phases, ``results`` the figures that they give.
"""

from hls4ml_ext.run.directory import MARK, TIMELINE, RunDirectory
from hls4ml_ext.run.run import Run, check_compiler

__all__ = ['MARK', 'TIMELINE', 'Run', 'RunDirectory', 'check_compiler']
