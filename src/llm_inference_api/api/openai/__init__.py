"""OpenAI's HTTP API: its JSON in, its JSON and server-sent events out; the rest is the typed API's."""
