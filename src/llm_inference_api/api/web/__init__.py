"""Servicers of web pages and Prometheus metrics."""
