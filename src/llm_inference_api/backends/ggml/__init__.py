"""Backend for legacy GGML files: ctransformers. Only this package imports it."""
