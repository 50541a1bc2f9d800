"""What cocotb runs for test_rtl_axi.py: an AXI-Stream master and slave of cocotbext-axi at the ends of a top."""

import itertools
import os
import random

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge, with_timeout
from cocotbext.axi import AxiStreamBus, AxiStreamFrame, AxiStreamSink, AxiStreamSource


def pauses(seed: int, percent: int):
    """Whether to pause, cycle by cycle."""
    generator = random.Random(seed)
    return (generator.randrange(100) < percent for _ in itertools.count())


@cocotb.test()
async def images_go_through(dut):
    """Sends beats, takes as many as are expected, and keeps them in a file."""
    beats = np.load(os.environ['BEATS'])
    wanted = int(os.environ['WANTED'])
    cocotb.start_soon(Clock(dut.clk, 10, 'ns').start())
    source = AxiStreamSource(AxiStreamBus.from_prefix(dut, os.environ['INPUT']), dut.clk, dut.rst)
    sink = AxiStreamSink(AxiStreamBus.from_prefix(dut, os.environ['OUTPUT']), dut.clk, dut.rst)
    dut.rst.value = 1
    for _ in range(4):
        await RisingEdge(dut.clk)
    dut.rst.value = 0
    source.set_pause_generator(pauses(1, 30))
    sink.set_pause_generator(pauses(2, 40))
    for beat in beats:
        await source.send(AxiStreamFrame(bytes(beat)))
    taken = []
    for _ in range(wanted):
        frame = await with_timeout(sink.recv(), 10, 'ms')
        taken.append(list(frame.tdata))
    np.save(os.environ['TAKEN'], np.array(taken, np.uint8))
