"""The dashboard is what its generator writes, and every query of it is one that has an answer."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.exposed import metric_names

ROOT = Path(__file__).parents[2]
GRAFANA = ROOT / "deploy" / "grafana"
UNITS = {"short", "ops", "pps", "Bps", "s", "percentunit", "reqps"}  # ids of Grafana's own list
COLUMNS = 24
VARIABLES = {"$__rate_interval": "5m", "$__range": "1h", "$job": ".*", "$instance": ".*"}


@pytest.fixture(scope="module")
def dashboard() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((GRAFANA / "hoptap.json").read_text())
    return loaded


def panels(dashboard: dict[str, Any]) -> list[dict[str, Any]]:
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def expressions(dashboard: dict[str, Any]) -> Iterator[str]:
    """As Grafana sends them."""
    for panel in panels(dashboard):
        for target in panel["targets"]:
            text: str = target["expr"]
            for name, value in VARIABLES.items():
                text = text.replace(name, value)
            yield text


def faults(expressions: list[str], path: Path) -> str:
    """What promtool says of these, each as a recording rule; "" when nothing."""
    rules = [{"record": f"x:x{n}", "expr": text} for n, text in enumerate(expressions)]
    path.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    done = subprocess.run(
        ["promtool", "check", "rules", path], capture_output=True, text=True, check=False
    )
    return done.stderr if done.returncode else ""


def test_the_generator_writes_the_same_file() -> None:
    done = subprocess.run(
        [sys.executable, GRAFANA / "dashboard.py"], capture_output=True, text=True, check=True
    )
    assert done.stdout == (GRAFANA / "hoptap.json").read_text()


def test_every_query_parses(dashboard: dict[str, Any], tmp_path: Path) -> None:
    found = list(expressions(dashboard))
    assert len(found) > 25 and not any("$" in text for text in found)
    assert faults(found, tmp_path / "rules.json") == ""
    broken = [found[0].replace("(", "", 1)]  # promtool would tell
    assert "could not parse expression" in faults(broken, tmp_path / "rules.json")


def test_every_metric_exists(dashboard: dict[str, Any]) -> None:
    variables = " ".join(str(each.get("query")) for each in dashboard["templating"]["list"])
    text = " ".join([*expressions(dashboard), variables])
    used = set(re.findall(r"\bhoptap_\w+", text))
    assert len(used) > 25
    assert used - metric_names() == set()


def test_panels_are_whole(dashboard: dict[str, Any]) -> None:
    identities = [panel["id"] for panel in dashboard["panels"]]
    assert len(identities) == len(set(identities))
    for panel in panels(dashboard):
        assert panel["title"] and panel["description"]
        assert panel["fieldConfig"]["defaults"]["unit"] in UNITS, panel["title"]
        sources = [panel["datasource"], *(target["datasource"] for target in panel["targets"])]
        assert {source["uid"] for source in sources} == {"${datasource}"}
        letters = [target["refId"] for target in panel["targets"]]
        assert len(letters) == len(set(letters)) > 0


def test_panels_do_not_overlap(dashboard: dict[str, Any]) -> None:
    taken: dict[tuple[int, int], str] = {}
    for panel in dashboard["panels"]:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= COLUMNS
        for x in range(at["x"], at["x"] + at["w"]):
            for y in range(at["y"], at["y"] + at["h"]):
                assert (x, y) not in taken, f"{panel['title']} over {taken.get((x, y))}"
                taken[x, y] = panel["title"]


def test_the_data_source_is_a_variable(dashboard: dict[str, Any]) -> None:
    variables = {each["name"]: each for each in dashboard["templating"]["list"]}
    assert list(variables) == ["datasource", "job", "instance"]
    assert variables["datasource"]["type"] == "datasource"
    assert variables["datasource"]["query"] == "prometheus"
    assert variables["instance"]["datasource"]["uid"] == "${datasource}"
