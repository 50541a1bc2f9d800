"""Keras-3 handlers for the stock QKeras layers; this folder goes away when hls4ml ships its own."""
