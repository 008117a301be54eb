"""Rows for people: on what a chain rests, in a word."""

import pytest

from sensor.report import basis_text


@pytest.mark.parametrize(
    ("hop", "text"),
    [
        ({}, ""),
        ({"cause": "none", "confidence": 1.0}, "direct"),
        ({"cause": "none", "confidence": 0.0}, "unseen"),  # somebody above, whom nobody saw
        ({"cause": "explicit", "confidence": 0.999}, "explicit 1.00"),
        ({"cause": "correlated", "confidence": 0.6}, "correlated 0.60"),
        ({"cause": "ambiguous", "candidates": [{}, {}]}, "ambiguous of 2"),
    ],
)
def test_what_a_chain_rests_on(hop: dict[str, object], text: str) -> None:
    assert basis_text({"hop": hop}) == text
