"""Checks of this machine, for `llm-inference-api doctor`."""
