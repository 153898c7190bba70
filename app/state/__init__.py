"""What a worker knows: agents write it, the API reads it."""
