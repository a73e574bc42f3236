"""OpenAI's Responses API: the endpoints below `/v1/responses`."""
