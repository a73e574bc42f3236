"""Programs that measure, and what they found."""
