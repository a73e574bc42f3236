"""The service's settings: declaration, sources and validation."""
