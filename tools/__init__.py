"""Programs for developers of the service; none of them is installed."""
