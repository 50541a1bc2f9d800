"""The residual add."""
