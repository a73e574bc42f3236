"""llama.cpp; only this package imports llama_cpp."""
