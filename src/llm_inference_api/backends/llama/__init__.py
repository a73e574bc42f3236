"""Backend for GGUF models: llama.cpp. Only this package imports llama_cpp."""
