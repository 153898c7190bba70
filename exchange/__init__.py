"""The simulated venue: Deribit's market-data protocol over an order-flow model or a recording.

It imports nothing else of this project: being written apart, it can catch the others' mistakes.
"""

from exchange.config import Config
from exchange.server import Exchange

__all__ = ["Config", "Exchange"]
