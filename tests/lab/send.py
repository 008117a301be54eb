"""Sends the frames of a capture on an interface: python -m tests.lab.send FILE INTERFACE.

Gaps between packets are kept, except that none is longer than --gap-max-ms.
"""

import argparse
import socket
import sys
import time
from pathlib import Path

from tests.impair import Packet, read_pcap

ETH_P_ALL = 0x0003


def send(packets: list[Packet], interface: str, gap_max_ns: int) -> None:
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as wire:
        wire.bind((interface, 0))  # protocol 0: sends only
        due_ns = time.monotonic_ns()
        previous_ns = packets[0].time_ns
        for packet in packets:
            due_ns += min(packet.time_ns - previous_ns, gap_max_ns)
            previous_ns = packet.time_ns
            wait_ns = due_ns - time.monotonic_ns()
            if wait_ns > 0:
                time.sleep(wait_ns / 1e9)
            wire.send(packet.frame)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("interface")
    parser.add_argument("--gap-max-ms", type=float, default=1000)
    options = parser.parse_args()
    send(read_pcap(options.file), options.interface, int(options.gap_max_ms * 1e6))
    return 0


if __name__ == "__main__":
    sys.exit(main())
