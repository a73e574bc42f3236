"""The build of llama.cpp that runs on any processor, and the check of it."""
