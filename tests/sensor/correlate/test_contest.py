"""Shares of causes, held against the sum over all assignments written out."""

from itertools import product
from math import prod

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sensor.correlate import contest
from sensor.correlate.contest import AGAIN, AGAIN_AFTER_FAILURE, Entry, Shares, shares

WEIGHT = st.floats(0.001, 100.0)
ENTRY = st.builds(
    Entry, st.dictionaries(st.integers(1, 4), WEIGHT, max_size=4), WEIGHT, st.booleans()
)


def written_out(entries: list[Entry]) -> Shares:
    found: Shares = [dict.fromkeys(entry.weights, 0.0) for entry in entries]
    total = 0.0
    for held in product(*([*entry.weights, None] for entry in entries)):
        factors = []
        for at, (entry, cause) in enumerate(zip(entries, held, strict=True)):
            factors.append(entry.unseen if cause is None else entry.weights[cause])
            if cause is not None and cause in held[:at]:
                failed = any(each.failed for each in entries[:at])
                factors.append(AGAIN_AFTER_FAILURE if failed else AGAIN)
        total += prod(factors)
        for share, cause in zip(found, held, strict=True):
            if cause is not None:
                share[cause] += prod(factors)
    return [{cause: each / total for cause, each in share.items()} for share in found]


@settings(max_examples=200, deadline=None)
@given(st.lists(ENTRY, min_size=1, max_size=4))
def test_shares_are_sums_over_all_assignments(entries: list[Entry]) -> None:
    for share, expected in zip(shares(entries), written_out(entries), strict=True):
        assert share == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_what_one_has_the_other_hardly_has() -> None:
    one, other = shares(
        [Entry({1: 1.0, 2: 0.01}, 0.001, False), Entry({1: 1.0, 2: 1.0}, 0.001, False)]
    )
    assert one[1] > 0.9 and other[2] > 0.9


def test_many_causes_are_near_the_exact_shares(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = [
        Entry({cause: 1.0 if cause == number else 0.05 for cause in range(6)}, 0.01, False)
        for number in range(5)
    ]
    exact = shares(entries)
    monkeypatch.setattr(contest, "EXACT_CAUSES_MAX", 2)
    near = shares(entries)
    for one, other in zip(exact, near, strict=True):
        assert max(one, key=one.__getitem__) == max(other, key=other.__getitem__)
        assert sum(other.values()) <= 1
        assert other == pytest.approx(one, abs=0.1)


@settings(max_examples=30, deadline=None)
@given(st.lists(ENTRY, min_size=33, max_size=40))
def test_shares_of_a_crowd_are_probabilities(entries: list[Entry]) -> None:
    for share in shares(entries):
        assert all(0 <= each <= 1 for each in share.values())
        assert sum(share.values()) <= 1 + 1e-9
