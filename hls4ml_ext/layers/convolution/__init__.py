"""Dense, depthwise and pointwise convolution and the dense layer, pipelined over pixels."""
