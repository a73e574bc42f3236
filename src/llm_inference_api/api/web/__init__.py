"""Pages and metrics."""
