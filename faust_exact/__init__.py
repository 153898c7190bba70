"""Faust made exact: positions, checkpoints and a store that survive any restart.

What Faust 0.15.3 does otherwise, and which upstream change would make each part unnecessary, is in
docs/exactness.md. The idea in one sentence: the processor's own position is the truth, a checkpoint
writes the states that include it, and only then is that position committed.
"""
