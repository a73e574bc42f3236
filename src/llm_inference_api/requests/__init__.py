"""Data types of requests, answers and model status; independent of wire format, process and engine library."""
