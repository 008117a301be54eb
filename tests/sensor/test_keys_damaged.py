"""Key logs that were cut short, or that hold a million keys of others."""

from pathlib import Path

import pytest

from sensor import _core
from sensor.keys import add_logs, lines_most
from tests.conversation import Conversation
from tests.impair import write_pcap
from tests.sensor.core_events import events_of, everything, limits
from tests.sensor.test_keys import line
from tests.tls_talk import TlsTalk, login

PASSWORD = "Oak-River-Stone-2"
FOREIGN = 1_000_000
CUT_STEP = 13
NEEDED = (b"CLIENT_TRAFFIC_SECRET_0", b"SERVER_TRAFFIC_SECRET_0")


@pytest.fixture(scope="module")
def talk(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes]:
    """A capture of one TLS 1.3 login, and its key log."""
    directory = tmp_path_factory.mktemp("talk")
    talk = TlsTalk(directory, Conversation("10.1.0.11", 40_000, "10.1.0.20", 443))
    talk.exchange(*login("bob", PASSWORD))
    capture = write_pcap(directory / "capture.pcap", talk.flows[0].packets())
    return capture, talk.keys.read_bytes()


def opened(capture: Path, log: Path) -> tuple[int, dict[str, int]]:
    """Transactions of a replay with this log, and what the core counted."""
    bounds = limits(tls_secrets_max=lines_most([str(log)]) + 16)
    source = _core.Source(everything(), bounds, files=(str(capture),), decrypt=True)
    try:
        add_logs([str(log)], [source])
        kinds = [event[0] for event in events_of(source)]
        return kinds.count(_core.TRANSACTION), source.counters()
    finally:
        source.close()


def test_a_log_cut_anywhere_opens_what_it_still_names(
    talk: tuple[Path, bytes], tmp_path: Path
) -> None:
    capture, keys = talk
    log = tmp_path / "cut.log"
    log.touch(0o600)
    whole_from = max(
        keys.index(label) + len(keys[keys.index(label) :].split(b"\n")[0]) for label in NEEDED
    )
    verdicts = set()
    for cut in (*range(0, len(keys), CUT_STEP), whole_from - 1, whole_from, len(keys)):
        log.write_bytes(keys[:cut])
        transactions, counted = opened(capture, log)
        assert transactions == (cut >= whole_from), keys[:cut]
        assert counted["tls_secrets_malformed"] <= 1  # the line that was cut
        assert counted["tls_authentication_failed"] <= 1  # where it was cut to another's length
        verdicts.add(transactions)
    assert verdicts == {0, 1}


def test_a_million_keys_of_others_hide_nothing(talk: tuple[Path, bytes], tmp_path: Path) -> None:
    capture, keys = talk
    log = tmp_path / "many.log"
    log.touch(0o600)
    with log.open("wb") as file:
        for start in range(0, FOREIGN, 10_000):
            file.write(b"".join(map(line, range(start, start + 10_000))))
            if start == FOREIGN // 2:
                file.write(keys)
    transactions, counted = opened(capture, log)
    own = sum(b"_TRAFFIC_" in each for each in keys.splitlines())
    assert transactions == 1
    assert counted["tls_secrets_taken"] == FOREIGN + own
    for name in ("malformed", "forgotten"):
        assert counted[f"tls_secrets_{name}"] == 0
    assert counted["tls_authentication_failed"] == 0
    assert counted["tls_sessions_decrypted"] == 1
