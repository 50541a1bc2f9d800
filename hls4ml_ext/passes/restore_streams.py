"""Brings back what hls4ml does not save of a stream."""

from __future__ import annotations

from hls4ml.model.optimizer import ModelOptimizerPass

from hls4ml_ext.passes.beat_types import BeatTypes, has_beat_types
from hls4ml_ext.passes.fifo_depths import FifoDepths


class RestoreStreams(ModelOptimizerPass):
    """Computes the beats and depths of streams once more, before a model is written that was loaded from a file.

    A saved tensor has a shape and a type, from which hls4ml makes a stream of whole pixels that holds a whole image. A model
    that has its beats is left alone: its depths may have been changed since.
    """

    name = 'restore_streams'

    def __init__(self):
        pass

    def transform(self, model):
        if has_beat_types(model):
            return False
        for restore in (BeatTypes(), FifoDepths()):
            restore.transform(model)
        return False
