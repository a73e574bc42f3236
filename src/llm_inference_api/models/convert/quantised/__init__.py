"""Checkpoints that are quantised already."""
