"""Tool call and thinking formats of model families, and their parsers."""
