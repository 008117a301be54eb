"""The names of all samples that a sensor exposes which has every part that is measured."""

from pathlib import Path
from tempfile import TemporaryDirectory

from sensor import app, evidence, hashing
from sensor.evidence_settings import EvidenceSettings
from sensor.metrics import Metrics
from sensor.settings import Settings
from tests.command import DEMO_CAPTURE

_SUFFIXES = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum"), "gauge": ("",)}


def metric_names() -> set[str]:
    metrics = Metrics("1.2.3")
    inputs = app.Inputs(files=(str(DEMO_CAPTURE),))
    app.assemble(Settings(), hashing.run_hasher(), inputs, metrics).close()
    with TemporaryDirectory() as directory:
        log = EvidenceSettings(file=str(Path(directory, "log.ndjson")))
        evidence.open_log(Settings(evidence=log), metrics).close()
    return {
        family.name + suffix for family in metrics.collect() for suffix in _SUFFIXES[family.type]
    }
