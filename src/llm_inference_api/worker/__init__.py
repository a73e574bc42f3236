"""One model's process, and the parent's handle on it."""
