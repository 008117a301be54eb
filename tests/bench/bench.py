"""`make bench`: the sensor, a bare libpcap read loop and tshark on the same capture in one sitting.

MB/s counts bytes of the capture file, headers included; 1 MB is 10^6 bytes. The files are read once
before, so all come from the page cache. tshark is slow, so it reads a shorter capture of the same
generator; its figures are rates, hence comparable.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
BUILD = ROOT / "build" / "bench"
SEED = 1
MB = 1_000_000
LOOP_SHARE_GOAL = 1 / 3  # of the libpcap loop's speed
TSHARK_RATIO_GOAL = 20.0
MEMORY_GROWTH_GOAL = 1.15  # peak memory for twice the file; the rest is noise of the allocator

HOPTAP = [str(Path(sys.executable).parent / "hoptap"), "replay", "--workers", "1"]
TSHARK = ["tshark", "-n", "-Y", "http", "-T", "fields", "-e", "frame.time_epoch", "-e", "ip.src"]
TSHARK += ["-e", "tcp.stream", "-e", "http.request.uri", "-e", "http.response.code"]


@dataclass(frozen=True, slots=True)
class Run:
    wall_s: float
    cpu_s: float
    peak_bytes: int


@dataclass(frozen=True, slots=True)
class Input:
    path: Path
    transactions: int
    actions: int
    logins: int

    @property
    def mb(self) -> float:
        return self.path.stat().st_size / MB


@dataclass(frozen=True, slots=True)
class Result:
    name: str
    input: Input
    runs: list[Run]

    def mb_per_s(self, pick: Callable[[list[float]], float], what: str = "wall_s") -> float:
        return self.input.mb / pick([getattr(run, what) for run in self.runs])

    @property
    def transactions_per_s(self) -> float:
        return self.input.transactions / statistics.median(run.wall_s for run in self.runs)

    @property
    def peak_mb(self) -> float:
        return max(run.peak_bytes for run in self.runs) / MB


Planned = tuple[str, Input, list[str]]  # name, what is read, the command


def compiled(name: str, *libraries: str) -> Path:
    source, binary = HERE / f"{name}.c", BUILD / name
    changed = max(each.stat().st_mtime for each in (source, *HERE.glob("*.h")))
    if not binary.exists() or binary.stat().st_mtime < changed:
        command = ["cc", "-std=c11", "-D_GNU_SOURCE", "-O2", str(source), "-o", str(binary)]
        subprocess.run([*command, *libraries], check=True)
    return binary


def capture(mb: int) -> Input:
    """The bench capture of this size, generated once."""
    path, facts = BUILD / f"bench-{mb}.pcap", BUILD / f"bench-{mb}.json"
    generator = compiled("generate")
    if not facts.exists() or facts.stat().st_mtime < generator.stat().st_mtime:
        said = subprocess.check_output([generator, path, str(mb * MB), str(SEED)], text=True)
        facts.write_text(said)
    known = json.loads(facts.read_text())
    return Input(path, known["transactions"], known["actions"], known["logins"])


def environment() -> dict[str, str]:
    """With compiled Python files, as an installed program has them, kept apart from the tree."""
    kept = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    return kept | {"PYTHONPYCACHEPREFIX": str(BUILD / "pycache")}


def measure(command: list[str]) -> Run:
    started = perf_counter()
    nowhere = subprocess.DEVNULL
    process = subprocess.Popen(command, env=environment(), stdout=nowhere, stderr=nowhere)
    _, status, usage = os.wait4(process.pid, 0)
    wall_s = perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)  # already waited for
    if process.returncode != 0:
        raise SystemExit(f"{' '.join(command)}: exit code {process.returncode}")
    return Run(wall_s, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)


def replay(path: Path, out: str, *options: str) -> list[str]:
    return [*HOPTAP, "--out", out, *options, str(path)]


def check_records(source: Input, *options: str) -> None:
    """A benchmark of a program that misses half its input would be worth nothing."""
    out = BUILD / "records.ndjson"
    out.unlink(missing_ok=True)
    subprocess.run(replay(source.path, str(out), *options), check=True, env=environment())
    kinds = Counter(json.loads(line)["kind"] for line in out.read_text().splitlines())
    found = {"action": kinds["action"], "login": kinds["login"]}
    expected = {"action": source.actions, "login": source.logins}
    if found != expected:
        raise SystemExit(f"the replay found {found}, the capture holds {expected}")


def read_once(path: Path) -> None:
    with path.open("rb") as file:
        while file.read(16 * MB):
            pass


def run_all(size_mb: int, slice_mb: int, repeat: int) -> list[Result]:
    BUILD.mkdir(parents=True, exist_ok=True)
    once, twice, part = capture(size_mb), capture(2 * size_mb), capture(slice_mb)
    loop = compiled("pcaploop", "-lpcap")
    check_records(part)
    plan: list[Planned] = [
        ("libpcap loop", once, [str(loop), str(once.path)]),
        ("hoptap replay", once, replay(once.path, "/dev/null")),
        ("hoptap replay", twice, replay(twice.path, "/dev/null")),
        ("tshark", part, [*TSHARK, "-r", str(part.path)]),
    ]
    for _, source, _ in plan:
        read_once(source.path)
    return measured(plan, repeat)


def measured(plan: list[Planned], repeat: int) -> list[Result]:
    """In turns, so that a noisy minute of the machine does not hit one of them alone."""
    rounds = [[measure(command) for _, _, command in plan] for _ in range(repeat)]
    return [
        Result(name, source, [each[at] for each in rounds])
        for at, (name, source, _) in enumerate(plan)
    ]


def table(results: list[Result]) -> str:
    head = ("", "file MB", "MB/s median", "MB/s best", "MB per CPU s", "transactions/s", "peak MB")
    rows = [
        (
            each.name,
            f"{each.input.mb:.0f}",
            f"{each.mb_per_s(statistics.median):.0f}",
            f"{each.mb_per_s(min):.0f}",
            f"{each.mb_per_s(statistics.median, 'cpu_s'):.0f}",
            f"{each.transactions_per_s:.0f}",
            f"{each.peak_mb:.0f}",
        )
        for each in results
    ]
    widths = [max(len(row[at]) for row in (head, *rows)) for at in range(len(head))]
    return "\n".join(
        "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        for row in (head, *rows)
    )


def verdicts(results: list[Result]) -> list[tuple[str, float, float, bool]]:
    """(what, measured, goal, met)."""
    loop, ours, ours_twice, tshark = results

    def per_cpu(result: Result) -> float:
        return result.mb_per_s(statistics.median, "cpu_s")

    share = per_cpu(ours) / per_cpu(loop)
    ratio = per_cpu(ours) / per_cpu(tshark)
    growth = ours_twice.peak_mb / ours.peak_mb
    return [
        ("of the libpcap loop, per CPU second", share, LOOP_SHARE_GOAL, share >= LOOP_SHARE_GOAL),
        ("x tshark, per CPU second", ratio, TSHARK_RATIO_GOAL, ratio >= TSHARK_RATIO_GOAL),
        ("x memory for twice the file", growth, MEMORY_GROWTH_GOAL, growth <= MEMORY_GROWTH_GOAL),
    ]


def sitting(repeat: int) -> str:
    machine = f"{platform.machine()}, {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}"
    return f"{machine}, Python {platform.python_version()}, {repeat} runs each, seed {SEED}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mb", type=int, default=500, help="size of the capture")
    parser.add_argument("--tshark-mb", type=int, default=50, help="size of tshark's capture")
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    results = run_all(options.mb, options.tshark_mb, options.repeat)
    print(f"{sitting(options.repeat)}\n\n{table(results)}\n")
    report(verdicts(results))
    return 0


def report(found: list[tuple[str, float, float, bool]]) -> None:
    for what, figure, goal, met in found:
        print(f"{figure:8.2f} {what} (goal {goal:.2f}): {'met' if met else 'NOT met'}")


if __name__ == "__main__":
    sys.exit(main())
