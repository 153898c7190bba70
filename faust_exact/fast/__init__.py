"""Options for speed: local delivery, batched output, eager start of coroutines."""
