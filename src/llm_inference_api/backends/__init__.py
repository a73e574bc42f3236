"""Backends: libraries that run a model's forwards."""
