"""The processes that `make demo` and `make live` start and supervise."""
