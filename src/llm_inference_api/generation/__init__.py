"""One request to a model: opened from an RPC, read as events, recorded when it ends."""
