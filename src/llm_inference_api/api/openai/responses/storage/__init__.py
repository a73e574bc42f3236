"""Responses that are kept, and what requests refer to of them."""
