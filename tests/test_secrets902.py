"""No secret of port 902 leaves the sensor, whatever the damage: not in a record, a log line or the
history."""

from pathlib import Path
from random import Random

import pytest

from tests.conversation import START_NS
from tests.fuzz.corpus902 import TALKS, shows_canary
from tests.fuzz.messages import packets_of
from tests.fuzz.mutation import mutated_talk
from tests.impair import write_pcap
from tests.test_secrets import everything_said

TALKS_EACH = 50


@pytest.mark.parametrize("is_damaged", [False, True])
def test_random_conversations(is_damaged: bool, tmp_path: Path) -> None:
    random = Random(f"secrets {is_damaged}")
    packets = []
    protocols = [protocol for protocol in TALKS for _ in range(TALKS_EACH)]
    for number, protocol in enumerate(protocols):
        talk = TALKS[protocol](random)
        if is_damaged:
            talk = mutated_talk(random, talk, keep_lines=protocol == "authd")
        packets += packets_of(protocol, random, number, talk, START_NS + number * 10**9)
    capture = write_pcap(tmp_path / "port902.pcap", packets)
    assert shows_canary(capture.read_bytes().decode("latin-1"))  # the search would find one
    said = everything_said(capture, tmp_path)
    assert said["out.ndjson"].count(b"VIX_COMMAND_") > TALKS_EACH
    leaking = [name for name, content in said.items() if shows_canary(content.decode("latin-1"))]
    assert leaking == []
