"""Token hashes: equal for equal tokens under one key, useless without it; the key stays private."""

import stat
import threading
from pathlib import Path

import pytest

from sensor import hashing
from sensor.exits import ConfigError, OutputError


def test_the_hash_is_keyed_blake2s_of_128_bits() -> None:
    # Verified with `hashlib.blake2s` of another process and with b2sum's reference vectors' key.
    hasher = hashing.KeyedHasher(bytes(range(32)))
    assert hasher("52d4a1e0-token") == hasher("52d4a1e0-token")
    assert hasher("52d4a1e0-token") != hasher("52d4a1e0-tokeN")
    assert hasher("a").startswith("b2s:")
    assert len(hasher("a")) == len("b2s:") + 32
    assert hasher("") == ""
    assert hasher("\udce9") != hasher("é")


def test_without_a_file_each_run_has_its_own_key() -> None:
    assert hashing.run_hasher()("token") != hashing.run_hasher()("token")


def test_an_installation_makes_its_key_once_and_keeps_it(tmp_path: Path) -> None:
    path = tmp_path / "data" / "hash.key"
    first = hashing.installation_hasher(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert hashing.installation_hasher(path)("token") == first("token")
    assert [each.name for each in path.parent.iterdir()] == ["hash.key"]


def test_sensors_that_start_at_once_end_with_one_key(tmp_path: Path) -> None:
    path = tmp_path / "hash.key"
    hashes: list[str] = []
    barrier = threading.Barrier(8)

    def start() -> None:
        barrier.wait()
        hashes.append(hashing.installation_hasher(path)("token"))

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(hashes) == 8
    assert len(set(hashes)) == 1


@pytest.mark.parametrize("text", ["", "zz", "00" * 31, "00" * 33, "\xff" * 64])
def test_a_broken_key_file_is_refused_and_its_text_not_shown(tmp_path: Path, text: str) -> None:
    path = tmp_path / "hash.key"
    path.write_bytes(text.encode("latin-1"))
    path.chmod(0o600)
    with pytest.raises(ConfigError) as caught:
        hashing.file_hasher(path)
    assert caught.value.lines == (f"hash key {path}: must hold 64 hexadecimal digits",)


def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "hash.key"
    path.write_text("00" * 32)
    path.chmod(0o640)
    with pytest.raises(ConfigError, match=r"mode 0640 lets others read it; chmod 600"):
        hashing.file_hasher(path)


def test_errors_name_the_key_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.key: No such file"):
        hashing.file_hasher(tmp_path / "none.key")
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"hash\.key: File exists"):
        hashing.installation_hasher(tmp_path / "file" / "hash.key")


def test_neither_repr_nor_attributes_give_the_key() -> None:
    key = bytes(range(32))
    hasher = hashing.KeyedHasher(key)
    shown = repr(hasher) + "".join(repr(getattr(hasher, name)) for name in hasher.__slots__)
    assert key.hex() not in shown
    assert repr(key) not in shown
