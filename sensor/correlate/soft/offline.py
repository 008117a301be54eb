"""All calls of a file at once: learned from all, then assigned under what was learned."""

from collections.abc import Iterable, Iterator, Sequence

from sensor.correlate.soft.kinds import Kinds
from sensor.correlate.soft.learning import Effort, Sampler, learn
from sensor.correlate.soft.manners import manners
from sensor.correlate.soft.model import Model
from sensor.correlate.soft.targets import Targets
from sensor.correlate.soft.window import Window
from sensor.correlate.spans import Assignment, Candidate, Span

HORIZON_NS = 60_000_000_000
# What is left open where a cause was lost for sure: that nobody was the cause is not stated then.
UNSURE = 0.06
# Calls of a kind from which a share is learned.
_CALLS_LEAST = 50
# Candidates that are written; what the others have is left unsaid.
CANDIDATES_MAX = 20


def assign(
    spans: Sequence[Span], links: Iterable[tuple[str, str]] = (), effort: Effort | None = None
) -> Iterator[Assignment]:
    """The parent of each span, in the order given."""
    effort = effort or Effort()
    parents, children = roles(spans)
    if not children:
        yield from (Assignment(span.id, None, 1.0, ()) for span in spans)
        return
    targets = Targets(links)
    found = manners(parents, children)
    window = Window(parents, children, Kinds.of(parents, children), targets, found, HORIZON_NS)
    model = Model(window, found)
    sampler = Sampler(window, targets)
    learn(sampler, model, targets, effort)
    sampler.weigh(model, own_votes=True)
    sampler.sample(model, effort.final_sweeps, 1)
    held = sampler.coldest(model, 1)
    lost = lost_shares(sampler)
    kinds = window.child_kind
    assigned = {
        child.id: _assignment(sampler, i, held[i], lost[kinds[i]])
        for i, child in enumerate(children)
    }
    for span in spans:
        yield assigned.get(span.id) or Assignment(span.id, None, 1.0, ())


def roles(spans: Sequence[Span]) -> tuple[list[Span], list[Span]]:
    """Calls that services got which also call, and the calls of services that are called."""
    called, calling = {span.callee for span in spans}, {span.caller for span in spans}
    in_time = sorted(spans, key=lambda span: (span.start_ns, span.end_ns))
    return (
        [span for span in in_time if span.callee in calling],
        [span for span in in_time if span.caller in called],
    )


def lost_shares(sampler: Sampler) -> list[float]:
    """Of the calls of each kind that nobody seen caused, how many had a cause that was lost.

    Packets are lost alike from all kinds, so the kind that misses a cause least often tells how
    often; what other kinds miss beyond that, they do by themselves.
    """
    orphans = sampler.orphans()
    calls = [0] * len(orphans)
    for kind in sampler.window.child_kind:
        calls[kind] += 1
    shares = [(orphan + 0.5) / (count + 1) for orphan, count in zip(orphans, calls, strict=True)]
    usual = [share for share, count in zip(shares, calls, strict=True) if count >= _CALLS_LEAST]
    least = min(usual, default=1.0)
    return [min(1.0, least / share) for share in shares]


def _assignment(sampler: Sampler, child: int, held: int, lost: float) -> Assignment:
    window = sampler.window
    found = []
    for option in window.span_of(child):
        parent = window.parent_at(option)
        found.append(Candidate(parent.id if parent else None, sampler.seen[option]))
    nobody = found[-1]
    found[-1] = nobody._replace(probability=nobody.probability * (1 - UNSURE * lost))
    best = found[held]
    found.sort(key=lambda each: (each is not best, -each.probability))
    return Assignment(
        window.children[child].id, best.parent, best.probability, tuple(found[:CANDIDATES_MAX])
    )
