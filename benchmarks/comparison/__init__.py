"""Measures the service beside other servers of the same llama.cpp; `make bench` runs it (see ../README.md)."""
