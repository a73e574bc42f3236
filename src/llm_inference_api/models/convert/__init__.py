"""Checkpoints of other formats become GGUF files, once."""
