"""A request to a model, from the door to the decode."""
