"""`make accuracy DATASETS=DIR`: figures, their goals, and what simple rules and others reach.

DIR holds score.py and, in folders, NAME.spans.ndjson.gz, NAME.truth.ndjson.gz and perhaps
NAME.inventory.json.gz. Nothing of the truth is read before all is assigned.
"""

import argparse
import importlib.util
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

from sensor.correlate.soft import partition
from sensor.correlate.soft.engine import Engine
from sensor.correlate.spans import NOT_SEEN, Assignment, Identity, Span, read_inventory, read_spans
from sensor.exits import HoptapError
from tests.accuracy import baselines, goals, impairments, speed

ENDING = ".spans.ndjson.gz"


@dataclass(frozen=True, slots=True)
class Dataset:
    name: str
    path: Path  # without the ending

    def spans(self) -> list[Span]:
        return read_spans(f"{self.path}{ENDING}")

    def links(self) -> list[tuple[str, str]]:
        inventory = Path(f"{self.path}.inventory.json.gz")
        return read_inventory(str(inventory)) if inventory.exists() else []


def datasets(directory: Path, only: list[str]) -> list[Dataset]:
    found = [
        Dataset(path.name.removesuffix(ENDING), Path(str(path).removesuffix(ENDING)))
        for path in sorted(directory.rglob(f"*{ENDING}"))
    ]
    return [each for each in found if not only or each.name in only]


def scorer(directory: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("score", directory / "score.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Scores:
    def __init__(self, score: ModuleType, dataset: Dataset) -> None:
        self._score = score
        self._rows = score.rows(f"{dataset.path}{ENDING}")
        self._truth = {row["id"]: row for row in score.rows(f"{dataset.path}.truth.ndjson.gz")}

    def of(self, assignments: Iterable[Assignment]) -> dict[str, Any]:
        lines = {each.span: _fields(each) for each in assignments}
        figures: dict[str, Any] = self._score.score_edges(self._rows, self._truth, lines)
        if "chain" in next(iter(self._truth.values())):
            figures |= self._score.score_chains(self._rows, self._truth, lines)
        return figures

    def scored(self, spans: list[Span]) -> set[Identity]:
        """Calls of services that have one caller."""
        callers: dict[str, set[str]] = {}
        for row in self._rows:
            callers.setdefault(row["callee"], set()).add(row["caller"])
        return {
            span.id for span in spans if span.caller != "client" and len(callers[span.caller]) == 1
        }

    def edges(self, spans: list[Span], assignments: Iterable[Assignment]) -> tuple[float, float]:
        """Accuracy where the parent is among these spans; share of the others that got one."""
        parents = {row["id"]: self._truth[row["id"]]["parent"] for row in self._rows}
        seen = impairments.seen_parents(parents, spans)
        scored = self.scored(spans)
        with_parent, right, orphans, claimed = 0, 0, 0, 0
        for each in assignments:
            if each.span not in scored:
                continue
            if seen[each.span] is None:
                orphans += 1
                claimed += each.parent is not None and each.probability > 0.5
            else:
                with_parent += 1
                right += each.parent == seen[each.span]
        return right / with_parent, claimed / orphans if orphans else 0.0


def _fields(each: Assignment) -> dict[str, Any]:
    candidates = [{"parent": one.parent, "p": one.probability} for one in each.candidates]
    return {"parent": each.parent, "p": each.probability, "candidates": candidates}


def rows(dataset: Dataset, score: ModuleType) -> Iterator[tuple[str, ...]]:
    spans = dataset.spans()
    began = time.process_time()
    result = partition.result(spans, dataset.links(), rehearsed=True)
    rate = len(spans) / (time.process_time() - began)
    assigned = result.assignments
    scores = Scores(score, dataset)
    reached = scores.of(assigned)
    others = {name: scores.of(baselines.assignments(spans, name)) for name in baselines.NAMES}
    for goal in goals.goals_of(dataset.name):
        value = goals.value_of(reached, goal.figure)
        if value is None:
            continue
        is_accuracy = goal.figure in ("e2e", "edge", "chain")
        beside = [
            _number(goals.value_of(others[name], goal.figure)) if is_accuracy else ""
            for name in baselines.NAMES
        ]
        published = goals.TRACEWEAVER.get(dataset.name) if goal.figure == "e2e" else None
        yield _row(dataset.name, goal, value, (*beside, _number(published) if published else ""))
    streamed = scores.of(stream(spans, dataset.links()))
    for figure in ("e2e", "edge", "chain"):
        if figure in streamed:
            yield (dataset.name, f"streamed {figure}", "", _number(streamed[figure]), *[""] * 6)
    scored = scores.scored(spans)
    if "e2e" in reached:
        expected = [p for child, p in result.expected.items() if child in scored]
        off = abs(sum(expected) / len(expected) - reached["edge"])
        goal = goals.Goal("", "self-estimate off by", 0.02, at_most=True)
        yield _row(dataset.name, goal, off, ("",) * 5)
    yield (dataset.name, "calls/s, learning", "", f"{rate:,.0f}", "", *[""] * 5)


def stream(spans: list[Span], links: list[tuple[str, str]]) -> list[Assignment]:
    """As a sensor does it: nothing known before, each call once, in the order of their ends."""
    engine, found = Engine(links), []
    events = [(span.end_ns, 0, i) for i, span in enumerate(spans)]
    events += [
        (max(span.done_ns, span.end_ns), 1, i)
        for i, span in enumerate(spans)
        if span.done_ns != NOT_SEEN
    ]
    for time_ns, is_task, i in sorted(events):
        if is_task:
            engine.end_task(spans[i].id, spans[i].done_ns)
        else:
            found += engine.add(replace(spans[i], done_ns=NOT_SEEN))
        found += engine.advance(time_ns)
    return found + engine.finish()


def impaired_rows(dataset: Dataset, score: ModuleType) -> Iterator[tuple[str, ...]]:
    spans, scores = dataset.spans(), Scores(score, dataset)
    whole, _ = scores.edges(spans, partition.result(spans).assignments)
    lossy = impairments.lossy(spans, 0.05)
    left, claimed = scores.edges(lossy, partition.result(lossy).assignments)
    noisy = impairments.jittered(spans, 100_000)
    blurred, _ = scores.edges(noisy, partition.result(noisy).assignments)
    nothing = ("",) * 5
    for figure, most, value in (
        ("edge lost by 5 % loss", 0.01, whole - left),
        ("orphans claimed", 0.05, claimed),
        ("edge lost by 0.1 ms", 0.02, whole - blurred),
    ):
        yield _row(dataset.name, goals.Goal("", figure, most, at_most=True), value, nothing)


def _row(name: str, goal: goals.Goal, value: float, beside: tuple[str, ...]) -> tuple[str, ...]:
    sign = "<=" if goal.at_most else ">="
    verdict = "" if goal.reached(value) else "MISSED"
    return (name, goal.figure, f"{sign} {goal.goal:g}", _number(value), verdict, *beside)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


HEAD = ("file", "figure", "goal", "reached", "", *baselines.NAMES, "TraceWeaver")
WIDTHS = (18, 22, 9, 8, 6, 8, 8, 8, 8, 11)


def line(cells: tuple[str, ...]) -> str:
    padded = [f"{cell:<{width}}" for cell, width in zip(cells, WIDTHS, strict=True)]
    return " ".join(padded).rstrip()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", nargs="?", default="")
    parser.add_argument("only", nargs="*", help="names of files; default: all")
    options = parser.parse_args()
    directory = Path(options.directory)
    if not options.directory or not (directory / "score.py").is_file():
        print("accuracy: DATASETS=DIR is needed, the directory of score.py", file=sys.stderr)
        return 2
    found = datasets(directory, options.only)
    if not found:
        print(f"accuracy: no *{ENDING} below {directory}", file=sys.stderr)
        return 2
    score = scorer(directory)
    print(line(HEAD), flush=True)
    missed = 0
    for dataset in found:
        made = list(rows(dataset, score))
        if dataset.name in ("hotel_load150", "media_load50"):
            made += impaired_rows(dataset, score)
        for row in made:
            print(line(row), flush=True)
            missed += row[4] == "MISSED"
    for what, least, rate in speed.rates() if not options.only else ():
        verdict = "" if rate >= least else "MISSED"
        missed += rate < least
        cells = ("", what, f">= {least:g}", f"{rate:,.0f}", verdict)
        print(line((*cells, *[""] * 5)), flush=True)
    print(f"{missed} figures missed" if missed else "all goals reached")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except HoptapError as error:
        sys.exit(f"accuracy: {error}")
