"""What the record path's correlation costs: actions a second, and memory over many of them.

    python -m tests.bench.correlator [--actions N] [--keyed SHARE]

A cloud, a vCenter and hosts: each request of a person leads to one call of each, with the id passed
on or without. Messages are made beforehand in rounds, so that making them is not measured; records
are made, but not written. Actions a CPU second, of the correlator alone and of the whole analysis.
"""

import argparse
import gc
import os
import random
import time
from collections.abc import Iterator
from pathlib import Path

from decoders.message import Call, Login, LoginMethod, Message, OperationClass, Outcome, Target
from sensor.analysis import Analysis
from sensor.app import GC_THRESHOLD
from sensor.correlate.correlator import Correlator
from sensor.flows import Flow
from tests.sensor.talk import flow_of

MS = 10**6
START_NS = 1_800_000_000 * 10**9
CLOUD, VCENTER = "10.2.0.1", "10.3.0.1"
PEOPLE, HOSTS, MACHINES = 200, 64, 5000
LEVELS = 3
ROUND = 5000  # requests

Said = tuple[Flow, Message]


class Site:
    def __init__(self, keyed: float) -> None:
        self._random = random.Random(1)
        self._keyed = keyed
        self._now_ns = START_NS
        self._number = 0

    def logins(self) -> Iterator[Said]:
        accounts = [(f"10.1.0.{n}", CLOUD, f"user{n}") for n in range(PEOPLE)]
        accounts.append((CLOUD, VCENTER, "vCloudService"))
        accounts += [(VCENTER, f"10.4.0.{n}", "vpxuser") for n in range(HOSTS)]
        for client, server, user in accounts:
            self._now_ns += MS
            yield flow_of(client, server), Login(
                time_ns=self._now_ns, end_ns=self._now_ns + MS, api=_api(server),
                operation="Login", method=LoginMethod.PASSWORD, outcome=Outcome.SUCCESS,
                user=user, new_tokens=(f"{client}-{server}",),
            )  # fmt: skip

    def requests(self) -> Iterator[Said]:
        """Ten requests begin in a second of packet time, 3 ms apart on their way down."""
        for _ in range(ROUND):
            self._now_ns += 100 * MS
            self._number += 1
            machine = self._random.randrange(MACHINES)
            host = f"10.4.0.{machine % HOSTS}"
            person = f"10.1.0.{self._random.randrange(PEOPLE)}"
            asked = f"op-{self._number}" if self._random.random() < self._keyed else ""
            hops = ((person, CLOUD), (CLOUD, VCENTER), (VCENTER, host))
            for level, (client, server) in enumerate(hops):
                begun_ns = self._now_ns + 3 * MS * level
                yield flow_of(client, server), Call(
                    time_ns=begun_ns, end_ns=begun_ns + 2 * MS, token=f"{client}-{server}",
                    api=_api(server), operation="PowerOnVM_Task",
                    operation_class=OperationClass.POWER, outcome=Outcome.SUCCESS,
                    target=Target("VirtualMachine", f"vm-{level}-{machine}", f"web-{machine}"),
                    operation_id=f"{asked}{'-01' * level}" if asked else "",
                )  # fmt: skip


def _api(server: str) -> str:
    return "vcloud" if server == CLOUD else "vim25"


class Stopwatch:
    """CPU seconds spent in some functions of the correlator."""

    def __init__(self) -> None:
        self.spent_s = 0.0
        for name in ("add", "advance"):
            self._wrap(name)

    def _wrap(self, name: str) -> None:
        inner = getattr(Correlator, name)

        def timed(correlator: Correlator, argument: object) -> None:
            begun = time.process_time()
            inner(correlator, argument)
            self.spent_s += time.process_time() - begun

        setattr(Correlator, name, timed)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--actions", type=int, default=120_000)
    parser.add_argument("--keyed", type=float, default=1.0, help="share of requests with an id")
    options = parser.parse_args()
    gc.set_threshold(GC_THRESHOLD)
    watch, site, analysis = Stopwatch(), Site(options.keyed), Analysis()
    fed(analysis, list(site.logins()))
    print("  actions  per CPU s, analysis  correlator alone  RSS MB  known actions")
    done = 0
    while done < options.actions:
        said = list(site.requests())
        watch.spent_s, begun = 0.0, time.process_time()
        fed(analysis, said)
        spent_s = time.process_time() - begun
        done += len(said)
        known = analysis.gauges()["actions"]
        print(
            f"{done:9,}  {len(said) / spent_s:19,.0f}  {len(said) / watch.spent_s:16,.0f}"
            f"  {resident_mb():6.0f}  {known:13,}",
            flush=True,
        )


def fed(analysis: Analysis, said: list[Said]) -> None:
    for flow, message in said:
        analysis.advance(message.end_ns)
        analysis.message(flow, message)


def resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


if __name__ == "__main__":
    main()
