"""Agents are short and alike: read, call, match, write. They do not calculate."""
