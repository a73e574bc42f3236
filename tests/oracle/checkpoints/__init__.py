"""Tiny checkpoints made by transformers and converted by llama.cpp's own converter."""
