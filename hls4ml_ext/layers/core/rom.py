"""Weights as the words of a ROM: what a kernel reads in one cycle is one integer in memory."""

from __future__ import annotations

import numpy as np
from hls4ml.model.types import NamedType, WeightVariable

from hls4ml_ext.fixed import FixedType, stored_integers


class RomVariable(WeightVariable):
    """A weight array that is written as packed words: ``nnet::ext::rom_word<lanes, width, signed> name[words]``.

    Args:
        var_name: Name of the array in C++.
        precision: hls4ml's precision of one weight.
        data: (words, lanes) weights, in the order in which the kernel reads them; lane 0 is in the low bits.
    """

    def __init__(self, var_name, precision, data, **kwargs):
        super().__init__(var_name, var_name + '_t', precision, np.ascontiguousarray(data, np.float64))
        words, lanes = data.shape
        self.stored_type = FixedType.from_hls4ml(precision)
        signed = str(self.stored_type.signed).lower()
        self.type = NamedType(f'nnet::ext::rom_word<{lanes}, {self.stored_type.width}, {signed}>', precision)
        self.words, self.lanes = words, lanes
        self.data_length = words  # what hls4ml's writer takes for the length of the array

    def hex_words(self) -> list[str]:
        """The words in hexadecimal, lane 0 in the low bits."""
        stored = stored_integers(self.data, self.stored_type.frac)
        width, digits = self.stored_type.width, -(-self.lanes * self.stored_type.width // 4)
        mask = (1 << width) - 1
        words = []
        for row in stored:
            word = 0
            for value in reversed(row.tolist()):
                word = word << width | (value & mask)
            words.append(f'{word:0{digits}x}')
        return words

    def __iter__(self):
        return (f'HLS4ML_EXT_ROM(0x{word})' for word in self.hex_words())

    @classmethod
    def deserialize(cls, state):
        return cls(state['name'], state['type'].precision, state['data'])
