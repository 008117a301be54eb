"""`make bench-live`: packets that the sensor and tcpdump lose at a rate, on a veth pair. As root.

The bench capture is sent into one end by a C program at a steady rate; whoever listens on the other
end says how many packets the kernel dropped for it. Sender and listener share this machine's cores.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.bench.bench import BUILD, capture, compiled
from tests.command import write_config
from tests.lab.namespaces import CLIENT_INTERFACE, SERVER_INTERFACE, Wire, open_wire, wait_for
from tests.lab.sensor import listening

RATES = (50_000, 100_000, 200_000, 400_000)
SEND_TIMEOUT_S = 120
SETTLE_S = 1.0  # what the kernel holds is handed over within a block's time-out
STATUS = "127.0.0.1:9798"
SCRAPE = (
    "import urllib.request;"
    f'print(urllib.request.urlopen("http://{STATUS}/metrics").read().decode())'
)
Listen = Callable[[Wire, Callable[[], None]], int]


def tcpdump(wire: Wire, send: Callable[[], None]) -> int:
    """Packets that the kernel dropped."""
    command = ("tcpdump", "-i", SERVER_INTERFACE, "-n", "-w", "/dev/null")
    process = wire.server.start(*command, stderr=subprocess.PIPE)
    wait_for(lambda: wire.server.packet_sockets() > 0, "tcpdump's socket")
    send()
    time.sleep(SETTLE_S)
    process.terminate()
    _, said = process.communicate()
    return int(re.findall(r"(\d+) packets dropped by kernel", said)[0])


def hoptap(wire: Wire, send: Callable[[], None]) -> int:
    """The same, as the sensor's own counter has it."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        config = write_config(directory, status={"listen": STATUS})
        out = directory / "hop.ndjson"
        with listening(wire.server, SERVER_INTERFACE, config, out) as sensor:
            send()
            time.sleep(SETTLE_S)
            metrics = wire.server.run(sys.executable, "-c", SCRAPE)
            sensor.stop()
    pattern = r"^hoptap_capture_packets_dropped_total\{[^}]*\} ([0-9.e+]+)$"
    return int(float(re.findall(pattern, metrics, re.MULTILINE)[0]))


def measure(listen: Listen, path: Path, rate: int) -> tuple[int, int, int]:
    """(packets sent, packets per second reached, packets dropped)."""
    said: list[str] = []
    with open_wire(offloads=False) as wire:
        command = (str(compiled("blast")), str(path), CLIENT_INTERFACE, str(rate))

        def send() -> None:
            said.extend(wire.client.run(*command, timeout_s=SEND_TIMEOUT_S).split())

        dropped = listen(wire, send)
    return int(said[0]), int(said[1]), dropped


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mb", type=int, default=500, help="size of the capture")
    options = parser.parse_args()
    if os.geteuid() != 0:
        raise SystemExit("network namespaces need root")
    BUILD.mkdir(parents=True, exist_ok=True)
    source = capture(options.mb)
    listeners: list[tuple[str, Listen]] = [("tcpdump", tcpdump), ("hoptap run", hoptap)]
    print(f"{'':>12}  {'packets/s':>9}  {'sent':>8}  {'dropped':>8}  {'lost':>7}")
    for rate in RATES:
        for name, listen in listeners:
            sent, reached, dropped = measure(listen, source.path, rate)
            print(f"{name:>12}  {reached:>9}  {sent:>8}  {dropped:>8}  {dropped / sent:>7.2%}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
