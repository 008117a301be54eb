"""All calls of a file at once: learned from all, then assigned under what was learned."""

from collections.abc import Iterable, Iterator, Sequence

from sensor.correlate.soft.fitting import fit, roles, unseen_shares
from sensor.correlate.soft.learning import Effort, Sampler
from sensor.correlate.soft.targets import Targets
from sensor.correlate.spans import Assignment, Candidate, Span

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
    fitted = fit(parents, children, targets, effort)
    model, sampler = fitted.site.model, fitted.sampler
    sampler.weigh(model, own_votes=True)
    sampler.sample(model, effort.final_sweeps, 1)
    held = sampler.coldest(model, 1)
    open_share = unseen_shares(sampler)
    kinds = sampler.window.child_kind
    assigned = {
        child.id: _assignment(sampler, i, held[i], open_share[kinds[i]])
        for i, child in enumerate(children)
    }
    for span in spans:
        yield assigned.get(span.id) or Assignment(span.id, None, 1.0, ())


def _assignment(sampler: Sampler, child: int, held: int, open_share: float) -> Assignment:
    window = sampler.window
    found = []
    for option in window.span_of(child):
        parent = window.parent_at(option)
        found.append(Candidate(parent.id if parent else None, sampler.seen[option]))
    nobody = found[-1]
    found[-1] = nobody._replace(probability=nobody.probability * (1 - open_share))
    best = found[held]
    found.sort(key=lambda each: (each is not best, -each.probability))
    return Assignment(
        window.children[child].id, best.parent, best.probability, tuple(found[:CANDIDATES_MAX])
    )
