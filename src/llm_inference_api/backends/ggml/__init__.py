"""Legacy GGML files; only this package imports ctransformers."""
