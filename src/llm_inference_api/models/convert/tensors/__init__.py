"""Tensors of checkpoints and of GGUF files."""
