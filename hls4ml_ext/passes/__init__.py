"""Graph passes, in the order in which they run.

`EXACT` runs before hls4ml's own passes, `TYPES` after hls4ml has given each tensor its C++ type (`RTL_TYPES` for the RTL
backend), `WRITE` before a project is written, `WRITTEN` after that.
"""

from hls4ml_ext.passes.beat_types import BeatTypes
from hls4ml_ext.passes.copies import Copies
from hls4ml_ext.passes.exact_graph import ExactGraph
from hls4ml_ext.passes.fifo_depths import FifoDepths
from hls4ml_ext.passes.lanes import Lanes
from hls4ml_ext.passes.restore_streams import RestoreStreams
from hls4ml_ext.passes.spelled_in_rtl import SpelledInRTL
from hls4ml_ext.passes.templates import Bridge, BuildScript

EXACT = (ExactGraph, Lanes, Copies)
TYPES = (BeatTypes, FifoDepths)
RTL_TYPES = (SpelledInRTL, *TYPES)
WRITE = (RestoreStreams,)
WRITTEN = (BuildScript, Bridge)
