"""The progress line: told right, on a terminal only."""

import gzip
import io
from pathlib import Path
from typing import Any

import pytest

from sensor.progress import Progress, bytes_text, packet_bytes_in


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1 kB"),
        (999_600, "1 MB"),
        (24_400_000, "24.4 MB"),
        (1.5e9, "1.5 GB"),
        (2e15, "2e+03 TB"),
    ],
)
def test_sizes_are_short(size: float, text: str) -> None:
    assert bytes_text(size) == text


def test_what_is_left_can_be_known_of_plain_files_only(tmp_path: Path) -> None:
    plain, other = tmp_path / "a.pcap", tmp_path / "b.pcap"
    plain.write_bytes(b"\xd4\xc3\xb2\xa1" + bytes(996))
    other.write_bytes(bytes(500))
    packed, squeezed = tmp_path / "c.pcap.gz", tmp_path / "d.pcap.zst"
    packed.write_bytes(gzip.compress(bytes(1000)))
    squeezed.write_bytes(b"\x28\xb5\x2f\xfd" + bytes(10))
    assert packet_bytes_in([str(plain), str(other)]) == 1500
    for unknown in (packed, squeezed, Path("-"), tmp_path, tmp_path / "none"):
        assert packet_bytes_in([str(plain), str(unknown)]) == 0


def test_nothing_is_written_where_nobody_watches() -> None:
    out = io.StringIO()
    progress = Progress(1000, out, clock=lambda: 100.0)
    progress.show(lambda: pytest.fail("nobody asked"), 5)
    progress.clear()
    assert out.getvalue() == ""


def test_a_closed_standard_error_is_watched_by_nobody() -> None:
    closed: Any = None  # what Python makes of standard error when it starts without one
    Progress(1000, closed).show(lambda: pytest.fail("nobody asked"), 5)


def test_the_line_says_share_rate_and_time_left() -> None:
    progress = Progress(2_000_000, io.StringIO(), clock=lambda: 0.0)
    line = progress._line(packets=1234, size=500_000, records=7, elapsed_s=0.5)
    assert line == (
        "[######..................]  25%  500 kB  1,234 packets  1 MB/s  7 records  2 s left"
    )
    unknown = Progress(0, io.StringIO(), clock=lambda: 0.0)
    assert unknown._line(1, 60, 0, 0.0) == "60 B  1 packets  0 B/s  0 records"
