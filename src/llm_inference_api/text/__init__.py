"""Chat templates, tokenizers and stop strings."""
