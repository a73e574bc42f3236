"""Models from the hub."""
