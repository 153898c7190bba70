"""The terminal: a worker's API as a live table, as one answer, and as lines for pipes."""
