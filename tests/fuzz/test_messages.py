"""The mutations of `make fuzz`, a little of them."""

from pathlib import Path

import pytest

from tests.fuzz.corpus902 import TALKS
from tests.fuzz.messages import straight, through_core

MESSAGES, TALKS_KEPT = 3000, 60


@pytest.mark.parametrize("protocol", TALKS)
def test_mutated_messages(protocol: str) -> None:
    tally = straight(protocol, MESSAGES, talks_kept=TALKS_KEPT)
    assert tally.given >= MESSAGES
    assert tally.said
    assert tally.errors


@pytest.mark.parametrize("protocol", TALKS)
def test_mutated_packets(protocol: str, tmp_path: Path) -> None:
    tally = through_core(protocol, MESSAGES, tmp_path, talks_kept=TALKS_KEPT)
    assert tally.given >= MESSAGES
    assert tally.said
