"""A Keras-3 handler for QKeras quantizers given as activations; this folder goes away when hls4ml ships its own."""
