"""Frames to windows: what the agent `books` applies. No I/O and no clock."""
