"""Computes answers: continuous batching over llama.cpp in a process of its own."""
