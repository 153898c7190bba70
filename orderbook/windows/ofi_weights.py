"""The weights of the ten levels in `ofi_integrated` are fitted on windows that ended before.

Cont, Cucuringu & Zhang, "Cross-impact of order flow imbalance in equity markets" (2023): the first
principal component of the order flow of the levels, divided by its sum. Sizes have heavy tails, and
a few windows would own a component of covariances; so each window counts by its direction alone,
its flow over the sum of absolutes, and each level by its correlations. The fit is arithmetic of
integers alone, so every machine comes to the same weights, to the last digit
(docs/decisions/0005-weights.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isqrt
from operator import add, mul
from typing import Any, Final, NamedTuple

from orderbook.book.top_levels import FLOW_LEVELS
from orderbook.units import from_record, to_record

FIT_PERIOD_WINDOWS: Final = 360
"""Weights can change where a multiple of so many lengths begins: 1 s 6 min, 10 s 1 h, 1 min 6 h."""
FIT_LEAST_WINDOWS: Final = 100
"""With fewer, ten weights would say more about chance than about the market."""
VECTOR_UNIT: Final = 10**6
"""Units in 1 of a direction's sum of absolutes."""
WEIGHT_UNIT: Final = 10**6
"""Units in 1 of the weights' sum, and of the share that they explain."""
MOST_WEIGHT: Final = WEIGHT_UNIT // 2
"""A component that gives one level more than half is no common component of the levels."""

MAX_PENDING: Final = 32
"""Vectors that are kept before they are folded, all at once: a third of the time of one by one."""

_SQUARINGS: Final = 16
"""What the other components are of the first is raised to the power 2¹⁶, so it vanishes."""
_PRECISION_BITS: Final = 96
_GONE_BITS: Final = 60
"""With so little left of the others, more squarings would not change a digit of a weight."""
_STANDS_OUT_BITS: Final = 30
"""A component is the first if so little is left of the others: they were below 0.9997 of it."""

PRODUCTS: Final = FLOW_LEVELS * (FLOW_LEVELS + 1) // 2

Matrix = list[list[int]]


class Weights(NamedTuple):
    """One weight for each level, and where they come from."""

    levels: tuple[int, ...]
    """In units of 1e-6, none negative; they add up to 1, but for the rounding of each."""
    windows: int
    """How many windows they were fitted on; 0 if they are equal because nothing is fitted yet."""
    explained: int
    """Share of the variance that they explain, in units of 1e-6, each level's being 1; 0 if they
    are equal."""

    def over(self, count: int) -> tuple[int, ...]:
        """Return the weights of the best levels alone: equal if a fit gives these none."""
        best = self.levels[:count]
        return (best if any(best) else (1,) * count) + (0,) * (FLOW_LEVELS - count)


EQUAL: Final = Weights((WEIGHT_UNIT // FLOW_LEVELS,) * FLOW_LEVELS, 0, 0)


class Fit:
    """Fits the weights of the levels to the windows of one length."""

    __slots__ = ("_block", "_count", "_pending", "_period_ms", "_products", "_sums", "_weights")

    def __init__(self, length_ms: int) -> None:
        self._period_ms = length_ms * FIT_PERIOD_WINDOWS
        self._block = 0
        """Number of the period, since the epoch, that the weights were last looked at in."""
        self._weights = EQUAL
        self._count = 0
        self._sums = [0] * FLOW_LEVELS
        self._products = [0] * PRODUCTS
        self._pending: list[list[int]] = []
        """Vectors that sums and products do not include yet."""

    def at(self, start_ms: int) -> Weights:
        """Return the weights of a window that begins then; windows come by their start.

        In the first one of a period they are fitted anew, if there are enough windows since that
        was last tried; all of them have ended by then. If no weights follow, the old ones stay.
        """
        block = start_ms // self._period_ms
        if block > self._block:
            self._block = block
            if self._count >= FIT_LEAST_WINDOWS:
                self._fold()
                weights = fitted(self._count, self._sums, self._products)
                if weights is not None:
                    self._weights = weights
                self._count = 0
                self._sums = [0] * FLOW_LEVELS
                self._products = [0] * PRODUCTS
        return self._weights

    def learn(self, flow: Sequence[int]) -> None:
        """Add a window to those of the next fit; one without flow has no direction."""
        if not any(flow):
            return
        self._count += 1
        self._pending.append(direction(flow))
        if len(self._pending) == MAX_PENDING:
            self._fold()

    def _fold(self) -> None:
        """Add the vectors that are pending to the sums: level by level, pair by pair."""
        if not self._pending:
            return
        levels = list(zip(*self._pending, strict=True))
        self._pending.clear()
        self._sums = list(map(add, self._sums, map(sum, levels)))
        products = [sum(map(mul, one, two)) for n, one in enumerate(levels) for two in levels[n:]]
        self._products = list(map(add, self._products, products))

    def to_record(self) -> list[Any]:
        """Return all of it as plain lists and numbers."""
        self._fold()
        learnt = [] if not self._count else to_record((*self._sums, *self._products))
        weights = [] if self._weights is EQUAL else [*self._weights.levels, *self._weights[1:]]
        return [self._block, self._count, learnt, weights]

    def restore(self, record: list[Any]) -> None:
        """Take the state of a record; raise ValueError if it is none."""
        self._block, self._count, learnt, weights = record
        self._weights = EQUAL
        if weights:
            *levels, windows, explained = from_record(weights, FLOW_LEVELS + 2)
            self._weights = Weights(tuple(levels), windows, explained)
        if self._count:
            sums = from_record(learnt, FLOW_LEVELS + PRODUCTS)
            self._sums, self._products = sums[:FLOW_LEVELS], sums[FLOW_LEVELS:]


def direction(flow: Sequence[int]) -> list[int]:
    """Return a flow over its sum of absolutes, in units of 1e-6, rounded half up."""
    norm = sum(map(abs, flow))
    return [(2 * each * VECTOR_UNIT + norm) // (2 * norm) for each in flow]


def fitted(count: int, sums: Sequence[int], products: Sequence[int]) -> Weights | None:
    """Return the weights that follow from `count` directions.

    None if no component stands out, or if it is not common to the levels: it weighs one of them
    against others, or by more than a half. `products` are the sums of the products of two elements:
    (1,1), (1,2) … (1,10), (2,2) … (10,10).
    """
    matrix = _correlation(_covariance(count, sums, products))
    component = first_component(matrix)
    if component is None:
        return None
    norm = sum(component)
    if norm == 0:
        return None
    if norm < 0:
        component, norm = [-each for each in component], -norm
    levels = tuple((2 * each * WEIGHT_UNIT + norm) // (2 * norm) for each in component)
    if min(levels) < 0 or max(levels) > MOST_WEIGHT:
        return None
    return Weights(levels, count, _explained(matrix, component))


def _explained(matrix: Matrix, component: Sequence[int]) -> int:
    """Return the eigenvalue of a component as a share of all, in units of 1e-6, rounded half up."""
    image = [sum(map(mul, row, component)) for row in matrix]
    value: int = sum(map(mul, image, component))
    total: int = sum(map(mul, component, component)) * sum(row[n] for n, row in enumerate(matrix))
    return (2 * value * WEIGHT_UNIT + total) // (2 * total)


def first_component(matrix: Matrix) -> list[int] | None:
    """Return a multiple of the eigenvector of the largest eigenvalue; None if it is not alone.

    `matrix` is symmetric and not negative. Of its powers only the first component is left: with
    eigenvalues λ and unit vectors v, the n-th power is Σ λⁿ·v·vᵀ, and each row of v₁·v₁ᵀ is v₁.
    """
    power = _cut(matrix)
    for _ in range(_SQUARINGS):
        if _is_alone(power, _GONE_BITS):
            break
        power = _cut(_square(power))
    if not _is_alone(power, _STANDS_OUT_BITS):
        return None
    return max(power, key=lambda row: sum(map(abs, row)))


def _is_alone(matrix: Matrix, bits: int) -> bool:
    """Return whether one eigenvalue is all there is, but for a part in 2 to the number of bits.

    Of numbers that are not negative, the square of the sum exceeds the sum of the squares by twice
    their mutual products: by nothing if only one of them is not 0.
    """
    trace = sum(row[place] for place, row in enumerate(matrix))
    of_squares = sum(each * each for row in matrix for each in row)
    return (trace * trace - of_squares) << bits < trace * trace


def _square(matrix: Matrix) -> Matrix:
    """Return the square of a symmetric matrix."""
    square = [[0] * len(matrix) for _ in matrix]
    for place, row in enumerate(matrix):
        for other in range(place, len(matrix)):
            square[place][other] = square[other][place] = sum(map(mul, row, matrix[other]))
    return square


def _covariance(count: int, sums: Sequence[int], products: Sequence[int]) -> Matrix:
    """Return count² times the covariance, which is exact."""
    matrix = [[0] * FLOW_LEVELS for _ in range(FLOW_LEVELS)]
    following = iter(products)
    for one in range(FLOW_LEVELS):
        for other in range(one, FLOW_LEVELS):
            entry = count * next(following) - sums[one] * sums[other]
            matrix[one][other] = matrix[other][one] = entry
    return matrix


def _correlation(covariance: Matrix) -> Matrix:
    """Return the correlations in units of 2⁻⁹⁶; 0 for a level that never varied."""
    size = range(len(covariance))
    matrix = [[0] * len(covariance) for _ in size]
    for one in size:
        if covariance[one][one]:
            matrix[one][one] = 1 << _PRECISION_BITS
        for other in range(one):
            square = covariance[one][one] * covariance[other][other]
            if square:
                root = isqrt(square << 2 * _PRECISION_BITS)
                entry = (covariance[one][other] << 2 * _PRECISION_BITS) // root
                matrix[one][other] = matrix[other][one] = entry
    return matrix


def _cut(matrix: Matrix) -> Matrix:
    """Return a matrix without the digits that its largest number has in excess."""
    largest = max(max(map(abs, row)) for row in matrix)
    excess = largest.bit_length() - _PRECISION_BITS
    if excess <= 0:
        shift = -excess  # small numbers are scaled up, or cutting their powers would lose them
        return [[each << shift for each in row] for row in matrix] if largest else matrix
    return [[each >> excess for each in row] for row in matrix]
