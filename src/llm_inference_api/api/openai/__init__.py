"""OpenAI-compatible HTTP API: JSON requests; JSON and server-sent event (SSE) responses."""
