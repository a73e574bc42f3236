"""OpenAI's batches and their files, below `/v1/files` and `/v1/batches`."""
