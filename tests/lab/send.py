"""Sends the frames of a capture on an interface: python -m tests.lab.send FILE INTERFACE.

Gaps between packets are kept, except that none is longer than --gap-max-ms. With --keys LOG each
line of it is added to --keys-to, --keys-late-ms after the packet that has its client random.
"""

import argparse
import socket
import sys
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path

from tests.impair import Packet, read_pcap

ETH_P_ALL = 0x0003


@dataclass(frozen=True, slots=True)
class LateKeys:
    log: Path
    to: Path
    late_ns: int

    def after(self, packets: list[Packet]) -> dict[int, bytes]:
        """Index of a packet -> the lines that it calls for."""
        wanted: dict[int, bytes] = {}
        for line in self.log.read_bytes().splitlines(keepends=True):
            if line.startswith(b"#") or len(words := line.split()) != 3:
                continue
            name = bytes.fromhex(words[1].decode())
            each = (index for index, packet in enumerate(packets) if name in packet.frame)
            index = next(each, 0)
            wanted[index] = wanted.get(index, b"") + line
        return wanted


class Clock:
    """Waits for packets to be due, and adds keys meanwhile."""

    def __init__(self, keys_to: Path | None) -> None:
        self._keys_to = keys_to
        self._keys: deque[tuple[int, bytes]] = deque()  # by due time
        self.due_ns = time.monotonic_ns()

    def add(self, lines: bytes, late_ns: int) -> None:
        self._keys.append((self.due_ns + late_ns, lines))

    def wait(self, step_ns: int) -> None:
        self.due_ns += step_ns
        while self._keys and self._keys[0][0] <= self.due_ns:
            self._deliver()
        self._sleep(self.due_ns)

    def finish(self) -> None:
        while self._keys:
            self._deliver()

    def _deliver(self) -> None:
        due_ns, lines = self._keys.popleft()
        self._sleep(due_ns)
        assert self._keys_to is not None
        with self._keys_to.open("ab") as file:
            file.write(lines)

    @staticmethod
    def _sleep(until_ns: int) -> None:
        wait_ns = until_ns - time.monotonic_ns()
        if wait_ns > 0:
            time.sleep(wait_ns / 1e9)


def send(
    packets: list[Packet], interface: str, gap_max_ns: int, keys: LateKeys | None = None
) -> None:
    lines = keys.after(packets) if keys is not None else {}
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as wire:
        wire.bind((interface, 0))  # protocol 0: sends only
        clock = Clock(keys.to if keys is not None else None)
        previous_ns = packets[0].time_ns
        for index, packet in enumerate(packets):
            clock.wait(min(packet.time_ns - previous_ns, gap_max_ns))
            previous_ns = packet.time_ns
            wire.send(packet.frame)
            if keys is not None and index in lines:
                clock.add(lines[index], keys.late_ns)
        clock.finish()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("interface")
    parser.add_argument("--gap-max-ms", type=float, default=1000)
    parser.add_argument("--keys", type=Path)
    parser.add_argument("--keys-to", type=Path)
    parser.add_argument("--keys-late-ms", type=float, default=0)
    options = parser.parse_args()
    keys = None
    if options.keys is not None:
        keys = LateKeys(options.keys, options.keys_to, int(options.keys_late_ms * 1e6))
    send(read_pcap(options.file), options.interface, int(options.gap_max_ms * 1e6), keys)
    return 0


if __name__ == "__main__":
    sys.exit(main())
