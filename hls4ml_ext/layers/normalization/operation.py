from hls4ml_ext.registry import Operation
OPERATION = Operation(name='normalization')
