"""Batches: files with many requests, kept on disk and computed while no other request wants the seat."""
