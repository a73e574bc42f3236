"""Tensors: reading from safetensors, rules that map them, writing to GGUF."""
