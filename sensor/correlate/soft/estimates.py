"""How right is the engine? By two trials on its latest calls, neither of which knows any truth.

The rehearsal (rehearsal.py) says how often it would find again what it found. Hidden keys say how
often it finds by times and targets alone what ids decided; how sure it was of those tells how far
what it says of calls without ids is to be softened.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace

from sensor.correlate.soft.fitting import HORIZON_NS, Site, roles
from sensor.correlate.soft.kinds import service_class
from sensor.correlate.soft.learning import Sampler
from sensor.correlate.soft.options import ids_above, options_of
from sensor.correlate.soft.rehearsal import Assigned, Verdict, rehearse
from sensor.correlate.soft.targets import Targets
from sensor.correlate.soft.window import Window
from sensor.correlate.soft.work import done
from sensor.correlate.spans import Identity, Span

VerbPair = tuple[str, str]  # of parent ("" if nobody seen) and child: service and endpoint
Estimate = dict[VerbPair, tuple[float, int]]  # share that is right, calls

_SWEEPS = 60
# Inverse temperatures to choose from, and how many hidden keys it takes.
TEMPERATURES = (0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
_HIDDEN_LEAST = 100
_CERTAIN = 1e-4  # nothing is surer than this


def rehearsed(site: Site, spans: Sequence[Span], targets: Targets) -> Estimate:
    """What it would find again. Where a service goes on in order: how sure it is."""
    parents, children = roles(spans)
    if not parents or not children:
        return {}
    stated = _assigned(site, parents, children, targets)
    assigned: Assigned = {child: parent for child, (parent, _) in stated.items()}
    if site.keepers:
        shares = {child: probability for child, (_, probability) in stated.items()}
    else:
        verdicts = rehearse(site, targets, parents, children, assigned)
        shares = {verdict.child: float(verdict.is_right) for verdict in verdicts}
    by_id = {span.id: span for span in parents}
    pairs = [
        (_pair(by_id.get(parent) if parent is not None else None, child), shares[child.id])
        for child in children
        for parent in [assigned[child.id]]
    ]
    return _shares(pairs)


def hidden(site: Site, spans: Sequence[Span], targets: Targets) -> tuple[list[Verdict], Estimate]:
    """What is found of the parents that ids decided, with all ids hidden."""
    keyed = _keyed(spans)
    parents, children = roles([replace(span, operation_id="") for span in spans])
    if not keyed or not parents or not children:
        return [], {}
    stated = _assigned(site, parents, children, targets)
    verdicts, pairs = [], []
    for child in children:
        if child.id in keyed:
            parent, probability = stated[child.id]
            right = parent == keyed[child.id].id
            verdicts.append(Verdict(child.id, probability, right))
            pairs.append((_pair(keyed[child.id], child), float(right)))
    return verdicts, _shares(pairs)


def temperature(verdicts: Sequence[Verdict]) -> float:
    """The inverse one that makes what was said of hidden keys least surprising; 1 of too few."""
    if len(verdicts) < _HIDDEN_LEAST:
        return 1.0
    return max(TEMPERATURES, key=lambda tau: (_likely_log(verdicts, tau), tau))


def softened(probabilities: Sequence[float], tau: float) -> Sequence[float]:
    if tau == 1:
        return probabilities
    powers = [each**tau if each else 0.0 for each in probabilities]
    total = sum(powers)
    return [each / total for each in powers] if total else probabilities


def _likely_log(verdicts: Sequence[Verdict], tau: float) -> float:
    total = 0.0
    for verdict in verdicts:
        sure = min(1 - _CERTAIN, max(_CERTAIN, verdict.probability))
        sure = softened((sure, 1 - sure), tau)[0]
        total += math.log(sure if verdict.is_right else 1 - sure)
    return total


def _assigned(
    site: Site, parents: Sequence[Span], children: Sequence[Span], targets: Targets
) -> dict[Identity, tuple[Identity | None, float]]:
    """Parent and its probability of each child, under what is known."""
    options = done(options_of(parents, children, targets, site.manners, HORIZON_NS))
    window = Window(parents, children, site.model.kinds, options)
    sampler = Sampler(window, targets, site.among, {})
    done(sampler.weigh(site.model, own_votes=False))
    sampler.begin(site.model)
    done(sampler.sample(site.model, _SWEEPS, 1))
    found = {}
    for i, child in enumerate(children):
        option = window.options.start[i] + sampler.likeliest(i)
        parent = window.parent_at(option)
        found[child.id] = parent.id if parent else None, sampler.seen[option]
    return found


def _keyed(spans: Sequence[Span]) -> dict[Identity, Span]:
    """Parents of calls whose id only one request at their caller had."""
    named: dict[tuple[str, str], list[Span]] = {}
    for span in spans:
        if span.operation_id:
            named.setdefault((span.callee, span.operation_id), []).append(span)
    found = {}
    for span in spans:
        for identity in ids_above(span.operation_id):
            parents = named.get((span.caller, identity))
            if parents:
                if len(parents) == 1:
                    found[span.id] = parents[0]
                break
    return found


def _pair(parent: Span | None, child: Span) -> VerbPair:
    return (_verb(parent) if parent else "", _verb(child))


def _verb(span: Span) -> str:
    return f"{service_class(span.callee)} {span.endpoint}"


def _shares(pairs: Iterable[tuple[VerbPair, float]]) -> Estimate:
    sums: dict[VerbPair, list[float]] = {}
    for pair, right in pairs:
        sums.setdefault(pair, []).append(right)
    return {pair: (sum(each) / len(each), len(each)) for pair, each in sorted(sums.items())}
