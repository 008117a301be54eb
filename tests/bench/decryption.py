"""The second half of `make bench`: what decrypting costs, beside the same traffic in clear.

The clear bench capture and its messages put into TLS by libssl, each replayed on one core; then
`openssl speed` for the bare cipher, ssldump and tshark with the same key log. MB/s counts the bytes
of the HTTP messages; 1 MB is 10^6 bytes. ssldump 1.4 does not decrypt TLS 1.3: it gets the same
messages over TLS 1.2 with the same cipher, and is compared with the sensor on those.

The sensor's start and its first sight of an inventory, whose names Python reads, cost the same in a
short capture and a long one. So its rate is given of whole runs, and once it runs: what the long
capture has more over what it takes more.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

from tests.bench.bench import (
    BUILD,
    MB,
    TSHARK,
    Input,
    Planned,
    Result,
    capture,
    check_records,
    compiled,
    measured,
    read_once,
    replay,
    report,
    sitting,
)

CLEAR_SHARE_GOAL = 0.6
SSLDUMP_RATIO_GOAL = 5.0
TSHARK_RATIO_GOAL = 20.0
RECORD_BYTES = 8192  # what `openssl speed` seals at a time: a response of the bench capture
SPEED_SECONDS = 3
ONE_CORE = ["taskset", "-c", str(min(os.sched_getaffinity(0)))]


@dataclass(frozen=True, slots=True)
class Sealed:
    input: Input
    keys: Path
    http_mb: float


def sealed(clear: Input, version: str) -> Sealed:
    """The capture's messages over this version of TLS, made once."""
    path = clear.path.with_name(f"{clear.path.stem}-tls{version}.pcap")
    keys, facts = path.with_suffix(".keys"), path.with_suffix(".json")
    sealer = compiled("seal", "-lssl", "-lcrypto")
    newest = max(each.stat().st_mtime for each in (sealer, clear.path))
    if not facts.exists() or facts.stat().st_mtime < newest:
        keys.touch(mode=0o600)
        said = subprocess.check_output([sealer, clear.path, path, keys, version], text=True)
        facts.write_text(said)
    http_bytes = json.loads(facts.read_text())["http_bytes"]
    return Sealed(replace(clear, path=path), keys, http_bytes / MB)


def ssldump(source: Sealed) -> list[str]:
    return ["ssldump", "-n", "-d", "-l", str(source.keys), "-r", str(source.input.path)]


def tshark(source: Sealed) -> list[str]:
    return [*TSHARK, "-o", f"tls.keylog_file:{source.keys}", "-r", str(source.input.path)]


def check_others(older: Sealed, newer: Sealed) -> None:
    """That they do decrypt, and that ssldump still does not decrypt TLS 1.3."""
    for source, command, seen in (
        (older, ssldump(older), True),
        (newer, ssldump(newer), False),
        (newer, [*tshark(newer), "-e", "xml.tag"], True),
    ):
        done = subprocess.run(
            command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        if (done.stdout.count(b"<soapenv:Body>") >= source.input.transactions) is not seen:
            raise SystemExit(f"{command[0]}: decrypted {'less' if seen else 'more'} than thought")


def cipher_mb_per_s() -> float:
    command = [*ONE_CORE, "openssl", "speed", "-mr", "-seconds", str(SPEED_SECONDS)]
    command += ["-bytes", str(RECORD_BYTES), "-evp", "aes-128-gcm"]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    [line] = [line for line in said.splitlines() if line.startswith("+F:")]
    return float(line.rsplit(":", 1)[1]) / MB


@dataclass(frozen=True, slots=True)
class Row:
    """One program on one capture."""

    planned: Planned
    http_mb: float


@dataclass(frozen=True, slots=True)
class Rate:
    """What a row took: medians."""

    name: str
    http_mb: float
    wall_s: float
    cpu_s: float  # what a busy machine disturbs least

    @property
    def per_cpu(self) -> float:
        return self.http_mb / self.cpu_s

    def line(self) -> str:
        wall = self.http_mb / self.wall_s
        return f"{self.name:18} {self.http_mb:4.0f} MB  {wall:6.0f} MB/s  {self.per_cpu:6.0f}"


def sensor_row(name: str, source: Sealed, *keys: str) -> Row:
    command = [*ONE_CORE, *replay(source.input.path, "/dev/null", *keys)]
    return Row((f"hoptap, {name}", source.input, command), source.http_mb)


def rows_of_the_sensor(clear: Input, newer: Sealed, older: Sealed) -> list[Row]:
    check_records(clear)
    for each in (newer, older):
        check_records(each.input, "--keys", str(each.keys))
    return [
        sensor_row("in clear", replace(newer, input=clear)),
        sensor_row("TLS 1.3", newer, "--keys", str(newer.keys)),
        sensor_row("TLS 1.2", older, "--keys", str(older.keys)),
    ]


def rows(size_mb: int, others_mb: int) -> list[Row]:
    """The sensor on the long captures, on the short ones, ssldump, tshark; all of them checked."""
    clear, part = capture(size_mb), capture(others_mb)
    newer, older = sealed(part, "1.3"), sealed(part, "1.2")
    check_others(older, newer)
    return [
        *rows_of_the_sensor(clear, sealed(clear, "1.3"), sealed(clear, "1.2")),
        *rows_of_the_sensor(part, newer, older),
        Row(("ssldump, TLS 1.2", older.input, [*ONE_CORE, *ssldump(older)]), older.http_mb),
        Row(("tshark, TLS 1.3", newer.input, [*ONE_CORE, *tshark(newer)]), newer.http_mb),
    ]


def rate_of(row: Row, result: Result) -> Rate:
    wall_s = statistics.median(run.wall_s for run in result.runs)
    cpu_s = statistics.median(run.cpu_s for run in result.runs)
    return Rate(result.name, row.http_mb, wall_s, cpu_s)


def once_running(long: Rate, short: Rate) -> float:
    return (long.http_mb - short.http_mb) / (long.cpu_s - short.cpu_s)


def figures(rates: list[Rate]) -> list[tuple[str, float, float, bool]]:
    whole = [rate.per_cpu for rate in rates]
    running = [once_running(*pair) for pair in zip(rates[:3], rates[3:6], strict=True)]
    *_, of_ssldump, of_tshark = whole
    found = []
    for runs, (in_clear, tls13, tls12) in (("whole runs", whole[:3]), ("once it runs", running)):
        print(f"{runs:18} clear {in_clear:.0f}, TLS 1.3 {tls13:.0f}, TLS 1.2 {tls12:.0f} per CPU s")
        found += [
            (f"of the clear path, TLS 1.3, {runs}", tls13 / in_clear, CLEAR_SHARE_GOAL),
            (f"x ssldump, TLS 1.2, {runs}", tls12 / of_ssldump, SSLDUMP_RATIO_GOAL),
            (f"x tshark, TLS 1.3, {runs}", tls13 / of_tshark, TSHARK_RATIO_GOAL),
        ]
    return [(what, figure, goal, figure >= goal) for what, figure, goal in found]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mb", type=int, default=500, help="size of the capture")
    parser.add_argument("--others-mb", type=int, default=50, help="size of the others' captures")
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    BUILD.mkdir(parents=True, exist_ok=True)
    plan = rows(options.mb, options.others_mb)
    for row in plan:
        read_once(row.planned[1].path)
    cipher = [cipher_mb_per_s()]
    results = measured([row.planned for row in plan], options.repeat)
    cipher.append(cipher_mb_per_s())
    rates = [rate_of(row, result) for row, result in zip(plan, results, strict=True)]
    print(f"{sitting(options.repeat)}, one core\n\n{'':28} {'MB/s':>11}  per CPU s")
    print(*(rate.line() for rate in rates), sep="\n")
    print(f"{'openssl speed':18} {'':7}  {statistics.mean(cipher):6.0f} MB/s, AES-128-GCM alone\n")
    report(figures(rates))
    return 0


if __name__ == "__main__":
    sys.exit(main())
