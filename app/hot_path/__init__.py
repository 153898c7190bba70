"""The modules that run compiled where a C compiler is at hand."""
