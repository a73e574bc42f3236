"""Conversion of checkpoints in other formats to GGUF files, which are cached."""
