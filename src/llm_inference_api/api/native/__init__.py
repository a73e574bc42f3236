"""Servicers of the typed API: Generate, Chat, embeddings, tokens, models."""
