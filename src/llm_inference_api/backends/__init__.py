"""The libraries that compute."""
