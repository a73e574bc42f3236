"""A model on llama.cpp's own RPC servers, which `make llama-rpc` compiles, or the first of these tests."""
