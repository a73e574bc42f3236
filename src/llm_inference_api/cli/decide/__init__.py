"""The command `llm-inference-api decide`."""
