"""Anthropic's Messages API below `/v1/messages`."""
