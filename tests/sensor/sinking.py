"""A sink of a configuration, and the collector in a process of its own that it sends to."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.exporters.receivers.process import Receiver, python

TOKEN = "t0ken-CANARY"


@contextmanager
def collector(directory: Path, **options: Any) -> Iterator[Receiver]:
    store = directory / "store"
    with python("hec", store, ack=True, token=TOKEN, **options) as receiver:
        yield receiver


def sink(directory: Path, receiver: Receiver | int, **changes: Any) -> dict[str, Any]:
    token = directory / "token"
    token.write_text(TOKEN + "\n")
    token.chmod(0o600)
    port = receiver if isinstance(receiver, int) else receiver.port
    return {
        "id": "siem",
        "type": "hec",
        "to": f"http://127.0.0.1:{port}",
        "token_file": str(token),
        "format": "hop",
    } | changes


def events(receiver: Receiver) -> list[dict[str, Any]]:
    """Each record once, in the order of its first arrival."""
    lines = [line["event"] for line in receiver.stored()]
    return list({each["id"]: each for each in lines}.values())
