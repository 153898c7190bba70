"""Metrics, logs, and what watches over a running worker."""
