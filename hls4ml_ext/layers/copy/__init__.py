"""Copies of a stream."""
