"""How right is what is said? Told without any truth, by a rehearsal.

What was assigned is taken for true, each action with all that it caused is moved to the instant at
which another one began, and everything is assigned again. The share that comes out as it went in is
what the site can expect of itself. It is no use where a service goes on in order: moved actions do
not.
"""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random

from sensor.correlate.soft.fitting import HORIZON_NS, Site, in_time_order
from sensor.correlate.soft.learning import Sampler
from sensor.correlate.soft.options import options_of
from sensor.correlate.soft.targets import Targets
from sensor.correlate.soft.window import Window
from sensor.correlate.soft.work import done
from sensor.correlate.spans import NOT_SEEN, Identity, Span

_SWEEPS = 60

Assigned = dict[Identity, Identity | None]  # child -> parent


@dataclass(frozen=True, slots=True)
class Verdict:
    child: Identity
    probability: float  # that was computed
    is_right: bool


def rehearse(
    site: Site,
    targets: Targets,
    parents: Sequence[Span],
    children: Sequence[Span],
    assigned: Assigned,
    seed: int = 1,
) -> list[Verdict]:
    shift = _shifts([*parents, *children], assigned, seed)
    moved_parents = sorted((_moved(span, shift) for span in parents), key=in_time_order)
    moved_children = sorted((_moved(span, shift) for span in children), key=in_time_order)
    options = done(options_of(moved_parents, moved_children, targets, site.manners, HORIZON_NS))
    window = Window(moved_parents, moved_children, site.model.kinds, options)
    sampler = Sampler(window, targets, site.among, {})
    sampler.seen = _votes(window, assigned)
    done(sampler.weigh(site.model, own_votes=True))
    sampler.begin(site.model)
    done(sampler.sample(site.model, _SWEEPS, seed))
    verdicts = []
    for i, child in enumerate(moved_children):
        option = window.options.start[i] + sampler.likeliest(i)
        parent = window.parent_at(option)
        right = (parent.id if parent else None) == assigned.get(child.id)
        verdicts.append(Verdict(child.id, sampler.seen[option], right))
    return verdicts


def _votes(window: Window, assigned: Assigned) -> "array[float]":
    """What each child voted for, as options held: it is no evidence for the child itself."""
    seen = array("d", bytes(8 * len(window.options.parent)))
    for i, child in enumerate(window.children):
        for option in window.span_of(i):
            parent = window.parent_at(option)
            if parent is not None and parent.id == assigned.get(child.id):
                seen[option] = 1.0
    return seen


def _shifts(spans: Sequence[Span], assigned: Assigned, seed: int) -> dict[Identity, int]:
    """By how much each call moves: as much as the call that began it all."""
    by_id = {span.id: span for span in spans}
    head: dict[Identity, Identity] = {}
    for identity in by_id:
        at, seen = identity, {identity}
        while (parent := assigned.get(at)) is not None and parent in by_id and parent not in seen:
            seen.add(parent)
            at = parent
        head[identity] = at
    heads = sorted(set(head.values()), key=lambda each: in_time_order(by_id[each]))
    instants = [by_id[each].start_ns for each in heads]
    Random(seed).shuffle(instants)
    moves = {
        each: instant - by_id[each].start_ns for each, instant in zip(heads, instants, strict=True)
    }
    return {identity: moves[each] for identity, each in head.items()}


def _moved(span: Span, shift: dict[Identity, int]) -> Span:
    by = shift[span.id]
    return replace(
        span,
        start_ns=span.start_ns + by,
        end_ns=span.end_ns + by,
        served_ns=span.served_ns + by,
        replied_ns=span.replied_ns + by,
        done_ns=NOT_SEEN if span.done_ns == NOT_SEEN else span.done_ns + by,
    )
