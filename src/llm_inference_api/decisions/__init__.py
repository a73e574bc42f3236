"""Decisions: typed questions, the branches that ask them, and answers from scores."""
