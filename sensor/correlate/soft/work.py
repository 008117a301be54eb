"""Long work in small pieces, so that no call waits for it: each piece says what it costs."""

from collections.abc import Generator
from typing import TypeVar

T = TypeVar("T")

# Yields the cost of what comes next, in microseconds of a core of 2020. The estimate is of the
# input alone, so that the same input is worked on at the same instants everywhere.
Work = Generator[int, None, T]
# Longer pieces are cut up.
PIECE_US = 4000


def done(work: Work[T]) -> T:
    """All of it at once."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            result: T = end.value
            return result
