"""Incremental parsers of answers, driven by a form."""
