"""Settings, their sources and checks."""
