"""Multi-head self-attention on feature maps."""
