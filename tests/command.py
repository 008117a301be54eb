"""The installed `hoptap` command as the tests run it, and its records made comparable."""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
HOPTAP = str(Path(sys.executable).parent / "hoptap")
DEMO_CAPTURE = ROOT / "sensor" / "demo" / "chain.pcap.gz"
TIMEOUT_S = 120

Record = dict[str, Any]


def write_config(directory: Path, **sections: dict[str, Any] | list[dict[str, Any]]) -> Path:
    """A configuration that keeps everything below `directory`, without a status port.

    Runs of the same configuration share its hash key, so that their records name sessions alike.
    """
    default: dict[str, dict[str, Any]] = {
        "sensor": {"data_dir": str(directory)},
        "output": {"ndjson": str(directory / "hop.ndjson")},
        "history": {"enabled": False},
        "status": {"listen": ""},
    }
    lines = []
    for name in default | sections:
        given = sections.get(name, {})
        repeated = isinstance(given, list)
        for each in given if isinstance(given, list) else [default.get(name, {}) | given]:
            lines.append(f"[[{name}]]" if repeated else f"[{name}]")
            lines += [f"{key} = {json.dumps(value)}" for key, value in each.items()]
    path = directory / "hoptap.toml"
    path.write_text("\n".join(lines) + "\n")
    return path


def hoptap(*arguments: str | Path, exit_code: int = 0) -> subprocess.CompletedProcess[str]:
    """Runs the command, which must end with this exit code and without a traceback."""
    done = subprocess.run(
        [HOPTAP, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    said = f"hoptap {' '.join(map(str, arguments))}\n{done.stdout}{done.stderr}"
    assert "Traceback" not in done.stderr, said
    assert done.returncode == exit_code, said
    return done


def replay(
    config: Path, files: Sequence[Path], out: Path, *options: str, exit_code: int = 0
) -> list[Record]:
    """The records of a replay of these files, written to `out`, which must not exist yet."""
    assert not out.exists()
    hoptap("replay", "-c", config, "--out", out, *options, *files, exit_code=exit_code)
    return read_records(out)


def read_records(path: Path) -> list[Record]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def comparable(records: Iterable[Record], *, times: bool = True) -> Counter[str]:
    """What the records say, as a multiset, whatever their ids and their order.

    A reference to another record becomes the words that describe it. Without `times`, when things
    happened is left out too.
    """
    records = list(records)
    described = {record["id"]: _describe(record, times) for record in records}
    return Counter(
        json.dumps(_plain(record, described, times), sort_keys=True) for record in records
    )


def _describe(record: Record, times: bool) -> str:
    parts = [
        record["kind"],
        record.get("op", {}).get("name", ""),
        record.get("from", {}).get("ip", ""),
        record.get("to", {}).get("ip", ""),
        record.get("to", {}).get("user", ""),
        record.get("target", {}).get("id", ""),
        str(record["ts"]) if times else "",
    ]
    return " ".join(parts)


def _plain(record: Record, described: dict[str, str], times: bool) -> Record:
    plain = {
        key: value for key, value in record.items() if key not in {"id", "sensor", "integrity"}
    }
    if not times:
        for key in ("ts", "ts_end"):
            plain.pop(key, None)
    if "chain" in plain:
        plain["chain"] = {key: value for key, value in plain["chain"].items() if key != "id"}
    if "record" in plain.get("extra", {}):  # what an alert is about
        plain["extra"] = plain["extra"] | {"record": described[plain["extra"]["record"]]}
    if "amends" in plain:
        plain["amends"] = described[plain["amends"]]
    if "hop" in plain:
        plain["hop"] = hop = dict(plain["hop"])
        if "parent_id" in hop:
            hop["parent_id"] = described[hop["parent_id"]]
        if "candidates" in hop:
            named = [each | {"id": described[each["id"]]} for each in hop["candidates"]]
            hop["candidates"] = sorted(named, key=lambda each: json.dumps(each, sort_keys=True))
    return plain
