"""The typed contract: Generate, Chat, embeddings, tokens, models."""
