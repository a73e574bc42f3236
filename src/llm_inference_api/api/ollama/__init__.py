"""Ollama's API, on a port of its own (`LLM_OLLAMA_PORT`)."""
