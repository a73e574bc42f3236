"""Finds the form of answers by rendering a chat template with known words."""
