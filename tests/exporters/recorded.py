"""Records that the sensor makes of a capture, as objects: what outputs are given at work."""

from pathlib import Path

from sensor import app, hashing
from sensor.metrics import Metrics
from sensor.records import Record
from sensor.settings import Settings


def records_of(capture: Path) -> list[Record]:
    records: list[Record] = []
    settings, inputs = Settings(), app.Inputs(files=(str(capture),))
    sensor = app.assemble(settings, hashing.run_hasher(), inputs, Metrics(""))
    app.drive(sensor, records.extend, lambda: None)
    return records
