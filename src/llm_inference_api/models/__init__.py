"""The served models: registry, lifecycle, memory budget, and the files that they are loaded from."""
