"""Constraints compiled to token masks, after a trial compilation in a child process."""
