"""What the README states as fact is what the program does."""

import json
import re
from pathlib import Path

from decoders.systems import SYSTEMS
from sensor.exits import MEANING
from tests.command import DEMO_CAPTURE, hoptap

README = (Path(__file__).parents[1] / "README.md").read_text()


def test_exit_codes() -> None:
    rows = re.findall(r"^\| (\d+) \| (.*) \|$", README, re.MULTILINE)
    assert rows == [(str(code.value), meaning) for code, meaning in MEANING.items()]


def test_the_systems_it_reads() -> None:
    rows = re.findall(r"^\| ([A-Z]{2,3}) \| ([^|]+) \|(.*)\|$", README, re.MULTILINE)
    assert [identity for identity, *_ in rows] == list(SYSTEMS)
    for identity, product, rest in rows:
        assert product.split()[0].strip(",") in SYSTEMS[identity].product
        assert rest.count("|") == 3  # recognised, in clear, sealed or not, recorded from
        assert all(rest.split("|")[at].strip() for at in (0, 1, 3))


def test_the_example_is_a_record_of_the_demo(tmp_path: Path) -> None:
    start = README.index('    {\n      "schema"')
    example = json.loads(README[start : README.index("\n    }\n", start) + 7])
    out = tmp_path / "out.ndjson"
    hoptap("replay", "--out", out, DEMO_CAPTURE)
    records = [json.loads(line) for line in out.read_text().splitlines()]
    [same] = [each for each in records if each["ts"] == example["ts"]]
    assert set(same) == set(example)
    for key in ("kind", "op", "target", "outcome", "flow", "task"):
        assert same[key] == example[key]
    for key in ("path", "users", "services", "depth"):
        assert same["chain"][key] == example["chain"][key]
    for key in ("index", "count", "service", "user", "cause", "confidence", "evidence"):
        assert same["hop"][key] == example["hop"][key]


def test_the_commands_it_shows_exist() -> None:
    known = hoptap("--help").stdout
    shown = set(re.findall(r"bin/hoptap ([a-z]+)", README))
    assert shown >= {"replay", "run", "check", "who"}
    unknown = {name for name in shown if not re.search(rf"^    {name}\b", known, re.MULTILINE)}
    assert unknown == set()
