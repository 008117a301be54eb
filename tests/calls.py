"""Records held against what a server says it was asked: calls.jsonl of the recorded captures.

    python -m tests.calls CALLS.jsonl RECORDS.ndjson

Each call that changes something, and each login and logout, must have a record of its own: the
right user, from the right client, also behind a proxy. Who logged in is what the server says of
the later calls in the same session; amendments count.
"""

import json
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

Body = dict[str, Any]  # a line of calls.jsonl, or a record as NDJSON has it

# The server notes the time when it has read the request, by the clock of the packets.
CLOCK_NS = 2_000_000
_READS = (
    "Cancel", "ContinueRetrieve", "CreateCollector", "CreateContainerView", "CreateFilter",
    "CreateListView", "CreatePropertyCollector", "CurrentTime", "Destroy", "Fetch", "PbmRetrieve",
    "Query", "ResetListView", "Retrieve", "Search", "SessionIsActive", "SetCollector", "WaitFor",
)  # fmt: skip
_CHANGES = ("Destroy_Task",)
_APIS = ("vim25", "vsphere-rest")  # the simulator says nothing of its other services
_LOGINS = ("Login", "CloneSession", "ImpersonateUser")
_IDENTIFIER = re.compile(r"/[a-z]+-\d+(?=/|$)")
_SESSIONS = ("/api/session", "/rest/com/vmware/cis/session")


@dataclass(frozen=True, slots=True)
class Asked:
    operation: str
    user: str  # of the session when it was asked; of a login not yet the one who logs in
    client: str  # address; that of a proxy, where the server was told of no other
    operation_id: str
    time_ns: int
    is_login: bool


def asked(calls: Iterable[Body]) -> Iterator[Asked]:
    for call in calls:
        operation = _operation(call)
        if operation:
            yield Asked(
                operation,
                call["user"],
                call.get("xff") or call["src"].rpartition(":")[0],
                call.get("opid", ""),
                int(call["t0"] * 1e9),
                operation.startswith(_LOGINS) or operation.startswith("POST /"),
            )


def _operation(call: Body) -> str:
    """As records name it; "" of a read."""
    method: str = call.get("method", "")
    if call["ev"] == "call":
        return method if method in _CHANGES or not method.startswith(_READS) else ""
    if call["ev"] != "rest" or method == "GET":
        return ""
    path, _, query = call["path"].partition("?")
    if path in _SESSIONS:
        return f"{method} {path}"
    words = _IDENTIFIER.sub("", path).split("/")[2:]
    [action] = parse_qs(query).get("action", ["delete" if method == "DELETE" else "create"])
    return ".".join((*words, action))


def last_words(records: Iterable[Body]) -> list[Body]:
    """The records of logins, logouts and actions, as last amended; in the order of time."""
    last: dict[str, Body] = {}
    for record in records:
        if record["kind"] in ("login", "logout", "action"):
            last[record["id"]] = record
        elif record["kind"] == "chain" and record.get("amends") in last:
            last[record["amends"]] = record
    return sorted(last.values(), key=lambda each: int(each["ts"]))


class Comparison:
    """`proxies`: addresses whose clients the server was not told of."""

    def __init__(self, records: Iterable[Body], calls: Iterable[Body], *proxies: str) -> None:
        self.problems: list[str] = []
        self.right = 0
        self._proxies = proxies
        self._records = [each for each in last_words(records) if each["op"]["api"] in _APIS]
        self._sessions: dict[str, str] = {}  # session of a record -> user, as the server has it
        found = [(each, self._record_of(each)) for each in asked(calls)]
        for each, record in found:
            self._judge(each, record)
        for each, record in found:
            if each.is_login and record is not None:
                self._judge_login(each, record)

    def _record_of(self, call: Asked) -> Body | None:
        for record in self._records:
            if (record["op"]["name"], record["op"].get("id", "")) != (
                call.operation,
                call.operation_id,
            ):
                continue
            if not record["ts"] - CLOCK_NS <= call.time_ns <= record["ts_end"] + CLOCK_NS:
                continue
            if self._is_of(call, record):
                self._records.remove(record)
                return record
        return None

    def _is_of(self, call: Asked, record: Body) -> bool:
        client = record["from"]["ip"]
        if call.client in self._proxies:
            return client not in self._proxies
        return bool(client == call.client)

    def _judge(self, call: Asked, record: Body | None) -> None:
        if record is None:
            self.problems.append(f"missing: {call}")
        elif not call.is_login and _user(record) != call.user:
            self.problems.append(f"not {call.user} but {_user(record)}: {call}")
        else:
            self.right += 1
            if not call.is_login and (session := record["to"].get("session")):
                self._sessions[session] = call.user

    def _judge_login(self, call: Asked, record: Body) -> None:
        """A login names somebody, who is whom the server then knows in that session."""
        session = record["to"].get("session", "")
        later = self._sessions.get(session) if session else None
        if not _user(record) and record["outcome"] == "success":
            self.problems.append(f"nobody: {call}")
        elif later is not None and record["outcome"] == "success" and later != _user(record):
            self.problems.append(f"{_user(record)} logged in, {later} acts: {call}")


def _user(record: Body) -> str:
    """Whose session it is; where the path goes on into a guest, the user before that."""
    if record["to"].get("service") != "GST":
        return str(record["to"].get("user", ""))
    return str(record["chain"]["path"].split(":")[-3])


def main(calls_path: str, records_path: str, *proxies: str) -> int:
    lines = [Path(path).read_text().splitlines() for path in (calls_path, records_path)]
    calls, records = (list(map(json.loads, each)) for each in lines)
    compared = Comparison(records, calls, *proxies)
    print(f"{compared.right} right", *compared.problems, sep="\n")
    return 1 if compared.problems else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
