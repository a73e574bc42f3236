"""How model families write thoughts, content and tool calls: found, described, read and written."""
