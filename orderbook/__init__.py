"""The domain, pure: order books, their imbalance, their flow, and windows of both.

Standard library only; no clock, no I/O, no logger. Definitions: docs/measures.md.
"""
