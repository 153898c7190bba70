"""Measurements: `python -m bench` measures, `python -m bench.render` writes it up."""
