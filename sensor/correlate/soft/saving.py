"""A whole engine as plain data and back; and what it learned, which is less and outlives more."""

from collections.abc import Iterable

from sensor.correlate.soft.fitting import Site
from sensor.correlate.soft.learning import Effort
from sensor.correlate.soft.plain import (
    CELLS_MAX,
    Plain,
    Table,
    model_of,
    model_plain,
    site_of,
    site_plain,
)
from sensor.correlate.soft.study import Study
from sensor.correlate.soft.targets import Targets

VERSION = 2
# Pairs of targets that outlive a restart.
PAIRS_MAX = 20_000


def learned(site: Site, sample: int, targets: Targets, called: Iterable[str]) -> Plain:
    """At most some 2 MB. `sample` is how many calls it was learned from."""
    return {
        "version": VERSION,
        "sample": sample,
        "site": site_plain(site, CELLS_MAX),
        "called": sorted(called),
        "targets": [
            [child, parent, round(votes, 3)]
            for child, parent, votes in targets.most_voted(PAIRS_MAX)
        ],
    }


def recalled(tree: Plain, targets: Targets) -> tuple[Site, int, set[str]]:
    """Raises ValueError if the tree is not what `learned` said."""
    try:
        if tree["version"] != VERSION:
            raise ValueError(f"of version {tree['version']}, not {VERSION}")
        site, called = site_of(tree["site"]), {str(name) for name in tree["called"]}
        sample = int(tree["sample"])
        votes = [(str(child), str(parent), float(each)) for child, parent, each in tree["targets"]]
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise ValueError(f"not what was learned: {error}") from None
    for child, parent, weight in votes[:PAIRS_MAX]:
        targets.vote(child, parent, weight)
    return site, sample, called


def study_plain(study: Study, site: Site | None, table: Table) -> Plain:
    is_of_site = site is not None and study.known is site.model
    return {
        "spans": [table.span(span) for span in study.spans],
        "known": model_plain(study.known) if study.known and not is_of_site else None,
        "is_known": study.known is not None,
        "pieces": study.pieces,
        "left_us": study.left_us,
    }


def study_of(
    tree: Plain,
    site: Site | None,
    table: Table,
    targets: Targets,
    efforts: tuple[Effort, Effort],
) -> Study:
    known = None
    if tree["is_known"]:
        known = model_of(tree["known"]) if tree["known"] or site is None else site.model
    spans = [table.spans[number] for number in tree["spans"]]
    study = Study(spans, targets, efforts[0], known, efforts[1])
    study.pieces, study.left_us = tree["pieces"], tree["left_us"]
    return study
