"""The state of a worker: agents write it, the API reads it."""
