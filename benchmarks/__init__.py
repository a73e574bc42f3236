"""Benchmark programs, with their results in README.md."""
