"""API keys, TLS files, certificates in use."""
