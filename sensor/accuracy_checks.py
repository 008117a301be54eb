"""`hoptap check --accuracy`: how right the correlation is, as its own hidden keys tell."""

from collections.abc import Iterator

from sensor.correlate.experience import Experience, Guesses
from sensor.correlate.relations import Rank
from sensor.finding import Finding, Level
from sensor.knowledge import EXPERIENCE
from sensor.learned import News

ENOUGH = 20  # guesses from which a share says something
POOR = 0.9
_EVIDENCE = {
    Rank.DEFINITE: "the same object",
    Rank.LIKE_NAME: "a like name",
    Rank.UNKNOWN: "time alone",
}


def accuracy_findings(news: News) -> Iterator[Finding]:
    """Of each kind of hop, what share of guesses without its key was right."""
    experience = Experience()
    try:
        experience.recall(news.lessons.get(EXPERIENCE, experience.learned()))
    except (KeyError, TypeError, ValueError) as error:
        yield Finding(Level.PROBLEM, "accuracy", f"the history's lessons cannot be read: {error}")
        return
    pairs = sorted(experience.pairs.items(), key=lambda item: -item[1].total)
    if not pairs:
        text = "no hop with a key was seen yet: what goes without one is weighed by the defaults"
        yield Finding(Level.NOTE, "accuracy", text)
    for (parent, child), guesses in pairs:
        level = Level.NOTE if _is_poor(guesses) else Level.OK
        yield Finding(level, f"accuracy {parent} -> {child}", _told(guesses))
    for rank, words in _EVIDENCE.items():
        text = f"a guess from {words} that has no rival is trusted to {experience.trust(rank):.1%}"
        yield Finding(Level.OK, "trust", text)


def _is_poor(guesses: Guesses) -> bool:
    return guesses.total >= ENOUGH and guesses.right < POOR * guesses.total


def _told(guesses: Guesses) -> str:
    share = guesses.right / guesses.total if guesses.total else 0.0
    return (
        f"with the key hidden, {guesses.right:,.0f} of {guesses.total:,.0f} guessed right "
        f"({share:.1%})"
    )
