"""All calls of a file at once: learned from all, then assigned under what was learned."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sensor.correlate.soft.fitting import fit, roles
from sensor.correlate.soft.learning import Effort, Sampler
from sensor.correlate.soft.rehearsal import rehearse
from sensor.correlate.soft.targets import Targets
from sensor.correlate.soft.work import done
from sensor.correlate.spans import Assignment, Candidate, Identity, Span

# Candidates that are written; what the others have is left unsaid.
CANDIDATES_MAX = 20


@dataclass(frozen=True, slots=True)
class Result:
    assignments: list[Assignment]  # in the order of the spans
    expected: dict[Identity, float]  # how far each is expected to be right; see rehearsal.py


def result(
    spans: Sequence[Span],
    links: Iterable[tuple[str, str]] = (),
    effort: Effort | None = None,
    *,
    rehearsed: bool = True,
) -> Result:
    """The parent of each span, in the order given."""
    effort = effort or Effort()
    parents, children = roles(spans)
    if not children:
        return Result([Assignment(span.id, None, 1.0, ()) for span in spans], {})
    targets = Targets(links)
    fitted = fit(parents, children, targets, effort)
    model, sampler = fitted.site.model, fitted.sampler
    done(sampler.weigh(model, own_votes=True))
    done(sampler.sample(model, effort.final_sweeps, 1))
    shares, kinds = fitted.site.open_share, sampler.window.child_kind
    assigned = {
        child.id: _assignment(sampler, i, shares[2 * kinds[i] + bool(child.operation_id)])
        for i, child in enumerate(children)
    }
    expected = {}
    if rehearsed and not fitted.site.keepers:
        stated = {each.span: each.parent for each in assigned.values()}
        verdicts = rehearse(fitted.site, targets, parents, children, stated)
        expected = {each.child: float(each.is_right) for each in verdicts}
    elif rehearsed:
        expected = {each.span: each.probability for each in assigned.values()}
    return Result(
        [assigned.get(span.id) or Assignment(span.id, None, 1.0, ()) for span in spans], expected
    )


def _assignment(sampler: Sampler, child: int, open_share: float) -> Assignment:
    window = sampler.window
    found = []
    for option in window.span_of(child):
        parent = window.parent_at(option)
        found.append(Candidate(parent.id if parent else None, sampler.seen[option]))
    nobody = found[-1]
    found[-1] = nobody._replace(probability=nobody.probability * (1 - open_share))
    best = found[sampler.likeliest(child)]
    found.sort(key=lambda each: (each is not best, -each.probability))
    return Assignment(
        window.children[child].id, best.parent, best.probability, tuple(found[:CANDIDATES_MAX])
    )
