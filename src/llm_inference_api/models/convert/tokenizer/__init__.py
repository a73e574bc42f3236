"""Conversion of tokenizers to the vocabulary of a GGUF file."""
