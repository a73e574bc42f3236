"""API keys, TLS files, and reloading of certificates."""
