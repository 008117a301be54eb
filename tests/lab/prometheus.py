"""Prometheus in a namespace: scrapes the sensor there, and evaluates the rules that we ship."""

import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.lab.namespaces import Namespace, wait_for

ROOT = Path(__file__).parents[2]
RULES = ROOT / "deploy" / "prometheus" / "hoptap.rules.yml"
LISTEN = "127.0.0.1:9090"
WINDOW = "5s"  # what the rules look back on, where they say minutes and hours
CONFIG = """
global: {{scrape_interval: 1s, evaluation_interval: 1s}}
scrape_configs:
  - job_name: hoptap
    static_configs: [{{targets: ["{target}"]}}]
rule_files: ["{rules}"]
"""


@dataclass(frozen=True, slots=True)
class Prometheus:
    host: Namespace

    def ask(self, path: str, **parameters: str) -> Any:
        """The data of an answer of its HTTP API."""
        pairs = [f"{name}={value}" for name, value in parameters.items()]
        options = [option for pair in pairs for option in ("--data-urlencode", pair)]
        url = f"http://{LISTEN}/api/v1/{path}"
        answer = json.loads(self.host.run("curl", "--silent", "--get", *options, url))
        assert answer["status"] == "success", answer
        return answer["data"]

    def value(self, expression: str) -> float | None:
        """Of an expression that has one value; None while it has none."""
        found = self.ask("query", query=expression)["result"]
        assert len(found) <= 1, found
        return float(found[0]["value"][1]) if found else None

    def firing(self) -> set[tuple[str, str]]:
        """(alert, output or "") of the alerts that fire."""
        return {
            (alert["labels"]["alertname"], alert["labels"].get("output", ""))
            for alert in self.ask("alerts")["alerts"]
            if alert["state"] == "firing"
        }

    def metric_names(self) -> set[str]:
        return set(self.ask("label/__name__/values"))


def hurried(rules: str) -> str:
    """The rules as they are, but that they wait for seconds."""
    rules = re.sub(r"\bfor: \d+m", "for: 0s", rules)
    return re.sub(r"\[\d+[mhd]\]", f"[{WINDOW}]", rules).replace("> 600", "> 3")


@contextmanager
def scraping(host: Namespace, target: str, directory: Path) -> Iterator[Prometheus]:
    directory.mkdir()
    (directory / "rules.yml").write_text(hurried(RULES.read_text()))
    config = directory / "prometheus.yml"
    config.write_text(CONFIG.format(target=target, rules=directory / "rules.yml"))
    with (directory / "log").open("w") as log:
        process = host.start(
            "prometheus",
            f"--config.file={config}",
            f"--storage.tsdb.path={directory / 'data'}",
            f"--web.listen-address={LISTEN}",
            "--enable-feature=exemplar-storage",
            "--log.level=warn",
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    prometheus = Prometheus(host)

    def answers() -> bool:
        assert process.poll() is None, (directory / "log").read_text()
        try:
            return prometheus.value("vector(1)") == 1
        except (RuntimeError, ValueError):  # it does not listen yet
            return False

    try:
        wait_for(answers, "Prometheus")
        yield prometheus
    finally:
        process.terminate()
        process.wait(20)
