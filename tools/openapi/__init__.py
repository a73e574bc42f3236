"""Writes the OpenAPI document: what the contract's descriptors, the models of `/v1` and the limits in the code say."""
