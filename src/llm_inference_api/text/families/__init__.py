"""Tool and thinking forms, with their readers."""
