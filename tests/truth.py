"""Records held against what really happened: the truth files of the chain captures.

    python -m tests.truth TRUTH.json RECORDS.ndjson

Each call in the truth that changes something, and each login, is looked for by its flow, operation
and times, and its chain path compared. Amendments count: the last word about a record is judged.
"""

import json
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Body = dict[str, Any]  # a record as NDJSON has it

CERTAIN = 0.95
# A client notes the time before it sends and after it has the answer; the packets lie in between.
CLOCK_NS = 2_000_000
_READS = ("Fetch", "Retrieve", "WaitFor", "CurrentTime", "CreateFilter", "CreateProperty")
_NO_CHANGES = (*_READS, "CreateContainerView", "DestroyView", "Login", "Logout")
SERVICE_USER, HOST_USER = "vCloudService", "vpxuser"


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing that happened: what its record must say."""

    group: str  # VCD, VC, ESX: caused calls; direct: administrators' own; login
    flow: tuple[str, str]  # "ip:port" of client and server
    operation: str
    time_ns: int
    end_ns: int
    path: str
    outcome: str = ""
    operation_id: str = ""


@dataclass(slots=True)
class Verdicts:
    """How many facts of each group came out how, and examples of what did not come out right."""

    counts: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    certain: int = 0  # wrong ones that name somebody with a confidence of 0.95 or more
    examples: list[str] = field(default_factory=list)

    def add(self, fact: Fact, verdict: str, said: str) -> None:
        self.counts[fact.group][verdict] += 1
        if verdict != "right":
            self.examples.append(f"{verdict}: {fact.path} {fact.operation}: {said}")

    def share_right(self, *groups: str) -> float:
        counts = [self.counts[group] for group in groups]
        return sum(each["right"] for each in counts) / max(1, sum(each.total() for each in counts))

    def lines(self) -> Iterator[str]:
        for group, counts in sorted(self.counts.items()):
            yield f"{group:7} {counts.total():5} " + " ".join(
                f"{name}={count}" for name, count in counts.most_common()
            )


def facts(truth: Body) -> Iterator[Fact]:
    """Everything in a truth file that a record must exist for."""
    for chain in truth["chains"]:
        head = f"VCD:{chain['user']}"
        if chain["path"] == "/api/sessions":
            outcome = "success" if chain["status"] == 200 else "failure"
            yield _fact("login", chain, f"POST {chain['path']}", head, outcome)
        elif chain["method"] != "GET" and not chain["path"].startswith("/api/session"):
            yield _fact("VCD", chain, _cloud_operation(chain), head)
        below = f"{head}:VC:{SERVICE_USER}"
        for call in _changes(chain["vcenter_calls"]):
            yield _fact("VC", call, call["method"], below)
        below += f":ESX:{HOST_USER}"
        for call in _changes(chain["esx_calls"]):
            yield _fact("ESX", call, call["method"], below)
    yield from _direct(truth)


def _direct(truth: Body) -> Iterator[Fact]:
    hosts = {name: ip for name, ip in truth["hosts"].items() if name.startswith("esx")}.values()
    for call in truth["direct_admin_calls"]:
        service = "ESX" if call["dst"].partition(":")[0] in hosts else "VC"
        head = f"{service}:{call['user']}"
        if call["method"] == "Login":
            yield _fact("login", call, "Login", head, "failure" if call["fault"] else "success")
        yield from (_fact("direct", each, each["method"], head) for each in _changes([call]))
    for call in _changes(truth["uncaused_esx_calls"]):
        head = f"VC:{call['direct_user']}" if call.get("direct_user") else "?:?"
        yield _fact("direct", call, call["method"], f"{head}:ESX:{HOST_USER}")
    for call in truth["uncaused_vcenter_calls"]:
        if call["method"] == "Login":
            yield _fact("login", call, "Login", f"VC:{SERVICE_USER}", "success")


def _fact(group: str, call: Body, operation: str, path: str, outcome: str = "") -> Fact:
    flow = (call["src"], call["dst"])
    times = int(call["t0"] * 1e9), int(call["t1"] * 1e9)
    return Fact(group, flow, operation, *times, path, outcome, call.get("opid") or "")


def _changes(calls: list[Body]) -> Iterator[Body]:
    return (call for call in calls if not call["method"].startswith(_NO_CHANGES))


def _cloud_operation(chain: Body) -> str:
    words: list[str] = chain["path"].split("/")
    return words[-1] if "action" in words else f"{chain['method']} {words[2]}"


def evaluate(records: Iterable[Body], truth: Body) -> Verdicts:
    """Right, unsure (perhaps nobody who was seen), ambiguous (the truth is among the candidates),
    wrong, missing.
    """
    return judge(records, facts(truth))


def judge(records: Iterable[Body], asked_for: Iterable[Fact]) -> Verdicts:
    """A fact whose server is "" is looked for by its client."""
    seen = _by_flow(records)
    verdicts = Verdicts()
    for fact in sorted(asked_for, key=lambda fact: fact.time_ns):
        record = _of(fact, seen[fact.flow, fact.operation])
        if record is None:
            verdicts.add(fact, "missing", "")
            continue
        verdict = _verdict(record, fact)
        verdicts.add(fact, verdict, f"{record['chain']['path']} {record['hop']}")
        if verdict == "wrong" and record["hop"]["confidence"] >= CERTAIN:
            verdicts.certain += 1
    return verdicts


def _by_flow(records: Iterable[Body]) -> dict[tuple[tuple[str, str], str], list[Body]]:
    last: dict[str, Body] = {}
    for record in records:
        if record["kind"] in ("login", "action"):
            last[record["id"]] = record
        elif record["kind"] == "chain" and "amends" in record:  # else of TLS that stayed closed
            last[record["amends"]] = record
    seen: dict[tuple[tuple[str, str], str], list[Body]] = defaultdict(list)
    for record in last.values():
        ends = record["from"], record["to"]
        client, server = (f"{end['ip']}:{end.get('port', 0)}" for end in ends)
        for each in (server, ""):
            seen[(client, each), record["op"]["name"]].append(record)
    for found in seen.values():
        found.sort(key=lambda record: int(record["ts"]))
    return seen


def _of(fact: Fact, found: list[Body]) -> Body | None:
    """The record of that call: a flow has one request after the other, so times tell them apart,
    and where clocks differ by more than two calls are apart, operation ids do."""
    for record in found:
        if not {fact.operation_id, record["op"].get("id", "")} - {""} <= {fact.operation_id}:
            continue
        if record["ts"] >= fact.time_ns - CLOCK_NS and record["ts_end"] <= fact.end_ns + CLOCK_NS:
            found.remove(record)
            return record
    return None


def _verdict(record: Body, fact: Fact) -> str:
    guest = _guest_end(record)
    if fact.operation.endswith("InGuest") != bool(guest):
        return "wrong"
    path = record["chain"]["path"].removesuffix(guest)
    if fact.outcome and record["outcome"] != fact.outcome:
        return "wrong"
    if path == fact.path:
        return "right"
    candidates = record["hop"].get("candidates", [])
    if candidates:
        paths = {each["path"].removesuffix(guest) for each in candidates}
        if fact.path in paths:
            return "ambiguous"
        return "unsure" if any(path.startswith("?:?") for path in paths) else "wrong"
    return "unsure" if "?" in path.split(":") else "wrong"


def _guest_end(record: Body) -> str:
    """The account inside the guest, which ends a path and which the truth files do not have."""
    path: str = record["chain"]["path"]
    at = path.rfind(":GST:")
    return path[at:] if at >= 0 else ""


def main(truth_path: str, records_path: str) -> int:
    truth = json.loads(Path(truth_path).read_text())
    with Path(records_path).open() as lines:
        verdicts = evaluate(map(json.loads, lines), truth)
    print(*verdicts.lines(), *verdicts.examples[:20], sep="\n")
    return 1 if verdicts.certain else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
