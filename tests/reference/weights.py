"""The reference's weights of the ten levels: a principal component by rotations, in long decimals.

Another way than the product's to the same numbers: the covariance is that of the definition, of
vectors less their mean, and Jacobi's rotations give all of its eigenvalues and eigenvectors.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal, Inexact, localcontext
from fractions import Fraction
from itertools import combinations
from typing import Final

from tests.reference.book import LEVELS

PERIOD_WINDOWS: Final = 360
LEAST_WINDOWS: Final = 100
VECTOR_DIGITS: Final = 6
"""A direction is rounded to so many decimals before it is learnt from."""
WEIGHT_DIGITS: Final = 6
POWER: Final = 2**16
"""A component stands out if the others, as shares of the first raised to this, are next to nothing:
twice the mutual products of all are below NOTHING of the square of their sum."""
NOTHING: Final[Decimal] = Decimal(2) ** -30
DECIMAL_DIGITS: Final = 80
SMALL: Final = Decimal("1e-60")
MAX_SWEEPS: Final = 60

EQUAL: Final = [Fraction(1, LEVELS)] * LEVELS
Matrix = list[list[Decimal]]


class Weighing:
    """The weights of one length's windows, which are asked for in order of their start."""

    def __init__(self, length_ms: int) -> None:
        self._length_ms = length_ms
        self._period = 0
        self._learnt: list[list[Fraction]] = []
        self._weights = EQUAL
        self.windows = 0
        """How many windows the weights were fitted on; 0 if they are equal."""
        self.explained: Fraction | None = None
        """Share of the variance that they explain."""

    def begin(self, start_ms: int) -> None:
        """Fit anew if this is the first window of a period, and enough was learnt."""
        period = start_ms // (PERIOD_WINDOWS * self._length_ms)
        if period <= self._period:
            return
        self._period = period
        if len(self._learnt) >= LEAST_WINDOWS:
            found = fit(self._learnt)
            if found is not None:
                (self._weights, self.explained), self.windows = found, len(self._learnt)
            self._learnt = []

    def weights_over(self, populated: int) -> list[Fraction]:
        """Return the weights of the best levels, whose sum is 1; equal if a fit has none there."""
        weights = self._weights[:populated]
        if not any(weights):
            weights = [Fraction(1)] * populated
        shares = [weight / sum(weights) for weight in weights]
        return shares + [Fraction(0)] * (LEVELS - populated)

    def learn(self, start_ms: int, flow: Sequence[Fraction]) -> None:
        """Keep the direction of a complete window's flow; overlapping ones are not learnt from."""
        if start_ms % self._length_ms == 0 and any(flow):
            size = sum(map(abs, flow))
            self._learnt.append([each / size for each in flow])


def fit(directions: Sequence[Sequence[Fraction]]) -> tuple[list[Fraction], Fraction] | None:
    """Return the first principal component over its sum, and the share that it explains.

    None if none stands out, a level has a negative part of it, or one has more than half.
    """
    vectors = [[_rounded(each, VECTOR_DIGITS) for each in flow] for flow in directions]
    count = len(vectors)
    means = [sum(column, Fraction(0)) / count for column in zip(*vectors, strict=True)]
    covariance = [[Fraction(0)] * LEVELS for _ in range(LEVELS)]
    for vector in vectors:
        centred = [each - mean for each, mean in zip(vector, means, strict=True)]
        for one in range(LEVELS):
            for other in range(LEVELS):
                covariance[one][other] += centred[one] * centred[other] / count
    with localcontext(prec=DECIMAL_DIGITS) as context:
        context.traps[Inexact] = False
        found = _first_component(_correlations(covariance))
        if found is None:
            return None
        component, share = found
        total = sum(component, Decimal(0))
        if abs(total) <= SMALL:
            return None
        weights = [_rounded(Fraction(each / total), WEIGHT_DIGITS) for each in component]
    if any(weight < 0 or weight > Fraction(1, 2) for weight in weights):
        return None
    return weights, _rounded(Fraction(share), WEIGHT_DIGITS)


def _correlations(covariance: list[list[Fraction]]) -> Matrix:
    """Return the correlations; 0 of a level that never varied."""
    matrix = [[Decimal(c.numerator) / Decimal(c.denominator) for c in row] for row in covariance]
    roots = [matrix[level][level].sqrt() for level in range(LEVELS)]
    for one in range(LEVELS):
        for other in range(LEVELS):
            deviations = roots[one] * roots[other]
            matrix[one][other] = matrix[one][other] / deviations if deviations else Decimal(0)
    return matrix


def _first_component(matrix: Matrix) -> tuple[list[Decimal], Decimal] | None:
    """Return the eigenvector of the largest eigenvalue, and that as a share of all."""
    values, vectors = _eigen(matrix)
    largest = max(values)
    if largest <= 0:
        return None
    shares: list[Decimal] = [(value / largest) ** POWER for value in values]
    square: Decimal = sum(shares, Decimal(0)) ** 2
    if square - sum((share * share for share in shares), Decimal(0)) >= NOTHING * square:
        return None
    return vectors[values.index(largest)], largest / sum(values, Decimal(0))


def _eigen(matrix: Matrix) -> tuple[list[Decimal], list[list[Decimal]]]:
    """Return eigenvalues and, in the same order, eigenvectors of a symmetric matrix: Jacobi's."""
    size = len(matrix)
    a = [row[:] for row in matrix]
    vectors = [[Decimal(int(row == column)) for column in range(size)] for row in range(size)]
    scale = sum(abs(a[place][place]) for place in range(size))
    for _ in range(MAX_SWEEPS):
        if sum(abs(a[p][q]) for p, q in combinations(range(size), 2)) <= SMALL * scale:
            return [a[place][place] for place in range(size)], vectors
        for p, q in combinations(range(size), 2):
            _rotate(a, vectors, p, q)
    raise ArithmeticError(f"no eigenvalues after {MAX_SWEEPS} sweeps")


def _rotate(a: Matrix, vectors: Matrix, p: int, q: int) -> None:
    """Turn the axes p and q so that a[p][q] becomes 0."""
    if not a[p][q]:
        return
    theta = (a[q][q] - a[p][p]) / (2 * a[p][q])
    tangent = 1 / (abs(theta) + (theta * theta + 1).sqrt())
    if theta < 0:
        tangent = -tangent
    cosine = 1 / (tangent * tangent + 1).sqrt()
    sine = tangent * cosine
    for row in a:
        row[p], row[q] = cosine * row[p] - sine * row[q], sine * row[p] + cosine * row[q]
    for rows in (a, vectors):
        rows[p], rows[q] = (
            [cosine * x - sine * y for x, y in zip(rows[p], rows[q], strict=True)],
            [sine * x + cosine * y for x, y in zip(rows[p], rows[q], strict=True)],
        )


def _rounded(value: Fraction, digits: int) -> Fraction:
    scale = 10**digits
    return Fraction(math.floor(value * scale + Fraction(1, 2)), scale)
