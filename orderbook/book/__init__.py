"""One order book: its sides, top levels and depth bands."""
