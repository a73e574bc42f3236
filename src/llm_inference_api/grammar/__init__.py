"""Constraints and masks, tried in a process that can be ended."""
