"""The back end of hls4ml that writes SystemVerilog."""

from __future__ import annotations

from hls4ml.backends import FPGABackend
from hls4ml.model.flow import register_flow
from hls4ml.writer.writers import Writer

NAME = 'RTL'


class RTLWriter(Writer):
    """Writes a project: the top, the engines that it uses, a file of words for each ROM, and lists of all of them."""

    def write_hls(self, model):
        from hls4ml_ext.rtl.project import write_project

        write_project(model)


class RTLBackend(FPGABackend):
    """Tensors are streams of beats, nodes are engines of parameterised modules."""

    def __init__(self):
        super().__init__(NAME)
        # Types of hls4ml's own back ends: the same graph, the same names.
        types = register_flow('specific_types', ['vivado:transform_types'], requires=['convert'], backend=NAME)
        self._default_flow = register_flow('ip', None, requires=[types], backend=NAME)
        self._writer_flow = register_flow('write', ['make_stamp'], requires=[self._default_flow], backend=NAME)

    def get_default_flow(self):
        return self._default_flow

    def get_writer_flow(self):
        return self._writer_flow

    def create_initial_config(self, part=None, clock_period=5, io_type='io_stream', **_):
        """The configuration of a project; see :func:`hls4ml_ext.convert`."""
        return {'Part': part, 'ClockPeriod': clock_period, 'IOType': io_type, 'HLSConfig': {}, 'WriterConfig': {}}

    def fifo_depths(self, model) -> dict[str, int]:
        """Tensor name -> depth of its FIFO, in beats; see :func:`hls4ml_ext.rtl.schedule.fifo_depths`."""
        from hls4ml_ext.rtl.schedule import fifo_depths

        return fifo_depths(model)

    def interval_of(self, node) -> float:
        """Cycles of a node from one image to the next."""
        from hls4ml_ext.registry import rtl_kernel_of

        kernel = rtl_kernel_of(node)
        return kernel.interval(node) if kernel else node.cycles  # one without RTL is refused elsewhere

    def write(self, model):
        super().write(model)
        self.writer.write_hls(model)

    def compile(self, model):
        """Builds the simulation of a written project, and returns the path of its library."""
        from hls4ml_ext.rtl.verilator import build

        return str(build(model))

    def build(self, model, **options):
        """Synthesizes a written project for its part; see :func:`hls4ml_ext.rtl.build.build_project`."""
        from hls4ml_ext.rtl.build import build_project

        return build_project(model, **options)
