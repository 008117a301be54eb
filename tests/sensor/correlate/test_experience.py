"""What hops with keys teach about those without."""

import json

import pytest

from sensor.correlate.experience import (
    COUNTED_MAX,
    FADE_AT,
    OTHER,
    PAIRS_MAX,
    Experience,
    Trigger,
)
from sensor.correlate.relations import Rank

MS = 10**6
SECOND = 10**9


def taught(gap_ns: int, times: int = 200) -> Experience:
    experience = Experience()
    for _ in range(times):
        experience.hop("VCD create", "VC create", Trigger.REPLY, gap_ns, 1.0)
    return experience


def test_before_it_is_taught_sooner_is_likelier() -> None:
    experience = Experience()
    weights = [
        experience.timing("VCD create", "VC create", Trigger.START, gap)
        for gap in (0, SECOND, 10 * SECOND, 100 * SECOND)
    ]
    assert weights == sorted(weights, reverse=True) and weights[0] == 1.0


def test_the_usual_time_is_likelier_than_sooner_or_later() -> None:
    experience = taught(40 * MS)
    usual = experience.timing("VCD create", "VC create", Trigger.REPLY, 45 * MS)
    for gap in (MS, SECOND, 60 * SECOND):
        assert experience.timing("VCD create", "VC create", Trigger.REPLY, gap) < usual / 10
    other = experience.timing("VCD create", "VC create", Trigger.START, 45 * MS)
    assert other == Experience().timing("VCD create", "VC create", Trigger.START, 45 * MS)


def test_what_was_learned_fades() -> None:
    experience = taught(MS, int(FADE_AT))
    before = experience.timing("VCD create", "VC create", Trigger.REPLY, 10 * SECOND)
    for _ in range(int(FADE_AT)):
        experience.hop("VCD create", "VC create", Trigger.REPLY, 10 * SECOND, 1.0)
    after = experience.timing("VCD create", "VC create", Trigger.REPLY, 10 * SECOND)
    assert after > 20 * before


def test_trust_follows_the_guesses() -> None:
    experience = Experience()
    assert experience.trust(Rank.DEFINITE) == pytest.approx(0.99)
    assert experience.trust(Rank.UNKNOWN) == pytest.approx(0.6)
    for number in range(500):
        experience.guessed("VCD power_on", "VC power_on", Rank.UNKNOWN, number % 50 > 0)
        experience.guessed("VCD delete", "VC destroy", Rank.DEFINITE, number % 2 > 0)
    assert 0.95 < experience.trust(Rank.UNKNOWN) < 0.98
    assert experience.trust(Rank.DEFINITE) < 0.6
    guesses = experience.pairs["VCD power_on", "VC power_on"]
    assert (guesses.right, guesses.total) == (490, 500)


def test_what_was_learned_survives_as_json() -> None:
    experience = taught(40 * MS)
    experience.guessed("VCD create", "VC create", Rank.LIKE_NAME, True)
    again = Experience()
    again.recall(json.loads(json.dumps(experience.learned())))
    assert again.learned() == experience.learned()
    assert again.trust(Rank.LIKE_NAME) == experience.trust(Rank.LIKE_NAME)


@pytest.mark.parametrize(
    "learned",
    [
        {},
        {"timing": [["a", "b", "reply", [1.0]]], "trust": [], "pairs": []},
        {"timing": [], "trust": [["BEST", 1, 1]], "pairs": []},
        {"timing": [["a", "b", "later", [0.0] * 32]], "trust": [], "pairs": []},
    ],
)
def test_what_is_no_experience_is_refused(learned: dict[str, object]) -> None:
    with pytest.raises((KeyError, ValueError)):
        Experience().recall(learned)


def test_pairs_are_bounded() -> None:
    experience = Experience()
    for number in range(PAIRS_MAX + 5):
        experience.hop(f"X {number}", "VC create", Trigger.START, MS, 1.0)
        experience.guessed(f"X {number}", "VC create", Rank.DEFINITE, True)
    assert experience.shed == 10 and len(experience.pairs) == PAIRS_MAX


def test_guesses_are_counted_for_good_and_in_bounded_rows() -> None:
    experience = Experience()
    for number in range(COUNTED_MAX * 2):
        experience.guessed(f"VCD {number}", "VC create", Rank.DEFINITE, number % 3 > 0)
    for _ in range(int(FADE_AT) * 2):
        experience.guessed("VCD 1", "VC create", Rank.DEFINITE, True)
    counts = experience.guess_counts()
    assert counts["VCD 1", "VC create", "right"] == 2 * FADE_AT + 1
    assert counts["VCD 1", "VC create", "wrong"] == 0
    assert counts[OTHER, OTHER, "right"] > 0 and len(counts) <= 2 * COUNTED_MAX + 2
    assert sum(counts.values()) == experience.guesses
