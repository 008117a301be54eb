"""Messages of TCP and UDP 902 held against what servers and hosts wrote down while it happened.

    python -m tests.truth902 TRUTH.jsonl RECORDS.ndjson      judges records, by their chains

Lines of a truth file with `side: server` are what authd saw, `nfc_ticket` what vCenter handed out,
`side: host` the heartbeats that were sent. What the decoders said is looked for by flow and time.
"""

import json
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from decoders.message import Call, HostBeat, Login, Message
from sensor.flows import Flow
from sensor.records import path_of
from tests import truth
from tests.packaged import unpacked

Line = dict[str, Any]
Said = tuple[Flow, Message, str]  # the last is how visible it was

# A server notes the time between the packets that it reads and writes.
CLOCK_NS = 5_000_000
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing that happened: what was said of it."""

    client: str  # "ip:port"
    operation: str
    time_ns: int
    about: tuple[str, ...]


def lines_of(name: str) -> list[Line]:
    """The truth of a capture, line by line."""
    return [json.loads(line) for line in unpacked(name, "truth.jsonl.gz").splitlines()]


def tickets(lines: Iterable[Line]) -> dict[str, str]:
    """Ticket -> who asked vCenter for it."""
    return {line["session"]: line["user"] for line in lines if line.get("ev") == "nfc_ticket"}


def facts(lines: Sequence[Line], hashed: Callable[[str], str]) -> Iterator[Fact]:
    for line in lines:
        reader = _READERS.get((line.get("side", ""), line["ev"]))
        if reader is None:
            continue
        operation, about = reader(line, hashed)
        client = line["src"] if "src" in line else line["host"]
        yield Fact(client, operation, int(line["t"] * 1e9), about)


def _outcome(line: Line) -> str:
    return "success" if line["ok"] else "failure"


def _login(line: Line, hashed: Callable[[str], str]) -> tuple[str, tuple[str, ...]]:
    user = line["user"]
    is_ticket = _UUID.fullmatch(user) is not None
    who = ("", hashed(user), "ticket") if is_ticket else (user, "", "password")
    return "USER", (*who, _outcome(line))


def _session(line: Line, hashed: Callable[[str], str]) -> tuple[str, tuple[str, ...]]:
    return "SESSION", ("", hashed(line["session"]), "ticket", _outcome(line))


def _proxy(line: Line, hashed: Callable[[str], str]) -> tuple[str, tuple[str, ...]]:
    ticket = hashed(line["session"]) if "session" in line else ""
    return "PROXY", ("disk", "", line["arg"], ticket, "success")


def _connect(line: Line, hashed: Callable[[str], str]) -> tuple[str, tuple[str, ...]]:
    path, _, service = line["arg"].rpartition(" ")
    ticket = hashed(line["user"]) if _UUID.fullmatch(line["user"]) else ""
    return "CONNECT", ("console", path, service, ticket, "success")


def _beat(line: Line, hashed: Callable[[str], str]) -> tuple[str, tuple[str, ...]]:
    del hashed
    return "heartbeat", (line["uuid"], line["host"], str(line["counter"]))


_READERS: dict[
    tuple[str, str], Callable[[Line, Callable[[str], str]], tuple[str, tuple[str, ...]]]
] = {
    ("server", "login"): _login,
    ("server", "session"): _session,
    ("server", "proxy"): _proxy,
    ("server", "connect"): _connect,
    ("host", "heartbeat"): _beat,
}


def found(said: Iterable[Said]) -> Iterator[tuple[Fact, int]]:
    """The same of what the decoders said, with the end of its span."""
    for flow, message, _visible in said:
        client = f"{flow.client_ip}:{flow.client_port}"
        about: tuple[str, ...]
        match message:
            case Login(api="authd"):
                about = (message.user, message.ticket, message.method.value, message.outcome.value)
            case Call(api="authd", operation="PROXY" | "CONNECT"):
                about = (
                    message.operation_class.value,
                    message.related[0].name if message.related else "",
                    dict(message.details)["service"],
                    message.ticket,
                    message.outcome.value,
                )
            case HostBeat():
                client = flow.client_ip
                about = (message.host_key, message.address, str(message.counter))
                yield Fact(client, "heartbeat", message.time_ns, about), message.end_ns
                continue
            case _:
                continue
        yield Fact(client, message.operation, message.time_ns, about), message.end_ns


def differences(
    said: Iterable[Said],
    lines: Sequence[Line],
    hashed: Callable[[str], str],
    clock_ns: int = CLOCK_NS,
) -> list[str]:
    """What was missed, and what was said of something that did not happen."""
    rest = [each for each in found(said) if "unknown" not in each[0].about]
    wrong = []
    for fact in facts(lines, hashed):
        for each in rest:
            if _is_of(fact, *each, clock_ns):
                rest.remove(each)
                break
        else:
            wrong.append(f"missing: {fact}")
    return wrong + [f"invented: {each}" for each, _ in rest]


def _is_of(fact: Fact, said: Fact, end_ns: int, clock_ns: int) -> bool:
    within = said.time_ns - clock_ns <= fact.time_ns <= end_ns + clock_ns
    same = (fact.client, fact.operation, fact.about) == (said.client, said.operation, said.about)
    return same and within


def opened(said: Iterable[Said]) -> Counter[tuple[str, str, str, str]]:
    """(client, path, intent, how visible) of every disk that NFC opened."""
    return Counter(
        (
            f"{flow.client_ip}:{flow.client_port}",
            message.target.name,
            dict(message.details).get("intent", ""),
            visible,
        )
        for flow, message, visible in said
        if isinstance(message, Call) and message.api == "nfc" and message.outcome == "success"
    )


def record_facts(lines: Sequence[Line]) -> Iterator[truth.Fact]:
    """What records must say: who logged in, who opened what, and which person asked for it."""
    asked_by = tickets(lines)
    served = {line["src"] for line in lines if line["ev"] == "proxy"}
    for line in lines:
        ticket = line.get("session", "")
        user = "" if _UUID.fullmatch(line.get("user", "")) else line.get("user", "")
        pairs = [("ESX", "" if ticket else user)]
        if ticket in asked_by:
            pairs = [("VC", asked_by[ticket]), *pairs]
        operation = _OPERATIONS.get((line.get("side", ""), line["ev"]), "")
        if not operation or (operation == "NfcOpenFile" and line["src"] not in served):
            continue
        time_ns = int(line["t"] * 1e9)
        outcome = _outcome(line) if "ok" in line else "success"
        group = "902 login" if operation in ("USER", "SESSION") else "902 opened"
        span = (time_ns - ABOUT_NS, time_ns + LASTS_NS)
        yield truth.Fact(group, (line["src"], ""), operation, *span, path_of(pairs), outcome)


# A server's note is a point within a dialog and what it opened; order tells which is which.
ABOUT_NS, LASTS_NS = 10**9, 3600 * 10**9
_OPERATIONS = {
    ("server", "login"): "USER",
    ("server", "session"): "SESSION",
    ("server", "proxy"): "PROXY",
    ("server", "connect"): "CONNECT",
    ("client", "nfc"): "NfcOpenFile",
}


def main(truth_path: str, records_path: str) -> int:
    lines = [json.loads(line) for line in Path(truth_path).read_text().splitlines()]
    records = map(json.loads, Path(records_path).read_text().splitlines())
    verdicts = truth.judge(records, record_facts(lines))
    print(*verdicts.lines(), *verdicts.examples[:20], sep="\n")
    return 1 if verdicts.certain else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
