"""`make bench-filter`: what the kernel's part costs a packet, with either program. As root.

One end of a veth pair sends, in bursts; on the other a ring listens with the classic program, with
the eBPF one (sensor/core/cutter.h), or with that and every connection marked. The figures are
nanoseconds of CPU: of sending, receiving, filter and copy together, least of some rounds, less what
it costs when nobody listens; and of the reader. The last table is the packets a reader misses that
stands still for a while.
"""

import argparse
import os
import subprocess
import sys
from dataclasses import dataclass

from tests.bench.bench import BUILD, ROOT, compiled
from tests.lab.namespaces import CLIENT_INTERFACE, SERVER_INTERFACE, Wire, open_wire

CORE = ROOT / "sensor" / "core"
LISTENS = ("afpacket.c", "cutter.c", "cutter_program.c", "kernelfilter.c", "errorline.c")
RING_BYTES = 64 << 20
PROGRAMS = ("classic", "ebpf", "cut")
PORT, FOREIGN = 902, 5000
APART = [10_001 + 2 * number for number in range(254)]  # ports that make no range


@dataclass(frozen=True, slots=True)
class Traffic:
    name: str
    payload_bytes: int
    port: int
    packets: int
    rate: int


TRAFFIC = (
    Traffic("foreign, 10 B", 10, FOREIGN, 100_000, 150_000),
    Traffic("foreign, 1400 B", 1400, FOREIGN, 100_000, 150_000),
    Traffic("of interest, 10 B", 10, PORT, 100_000, 150_000),
    Traffic("of interest, 1400 B", 1400, PORT, 100_000, 150_000),
    Traffic("of interest, 60 KB", 60_000, PORT, 4_096, 4_000),
)
PORTS: dict[str, tuple[int, ...]] = {"2": (PORT, 443), "256": (PORT, 443, *APART)}


@dataclass(frozen=True, slots=True)
class Cost:
    send_ns: float
    read_ns: float = 0.0
    read: int = 0
    dropped: int = 0


def send(wire: Wire, traffic: Traffic) -> float:
    numbers = (traffic.packets, traffic.rate, traffic.payload_bytes, traffic.port)
    said = wire.client.run(str(compiled("burst")), CLIENT_INTERFACE, *map(str, numbers))
    return float(said.split()[0])


def measure(
    wire: Wire, traffic: Traffic, program: str, ports: tuple[int, ...], stall_ms: int
) -> Cost:
    listen = str(compiled("listen", f"-I{CORE}", *(str(CORE / name) for name in LISTENS)))
    options = (program, str(RING_BYTES), str(stall_ms), *map(str, ports))
    inside = ["nsenter", f"--net=/proc/{wire.server.pid}/ns/net", "--"]
    with subprocess.Popen(
        [*inside, listen, SERVER_INTERFACE, *options],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as listener:  # fmt: skip
        assert listener.stdout is not None and listener.stdout.readline() == "ready\n"
        send_ns = send(wire, traffic)
        read, _, dropped, read_ns = listener.communicate()[0].split()
    return Cost(send_ns, float(read_ns), int(read), int(dropped))


def costs(rounds: int) -> None:
    print(f"{'':>20} {'ports':>5} {'program':>8} {'kernel ns':>10} {'reader ns':>10}")
    with open_wire(offloads=True) as wire:
        for traffic in TRAFFIC:
            alone: list[float] = []
            seen: dict[tuple[str, str], list[Cost]] = {}
            for _ in range(rounds):
                alone.append(send(wire, traffic))
                for count, ports in PORTS.items():
                    for program in PROGRAMS:
                        cost = measure(wire, traffic, program, ports, 0)
                        seen.setdefault((count, program), []).append(cost)
            for (count, program), each in seen.items():
                kernel = min(cost.send_ns for cost in each) - min(alone)
                reader = min(cost.read_ns for cost in each)
                print(f"{traffic.name:>20} {count:>5} {program:>8} {kernel:>10.0f} {reader:>10.0f}")
            print(f"{traffic.name:>20} nobody listens: {min(alone):.0f} ns", flush=True)


def losses(stall_ms: int) -> None:
    print(f"\nlost by a reader that stands still for {stall_ms} ms, ring of {RING_BYTES >> 20} MiB")
    bulk = (
        Traffic("1400 B, 2.2 Gbit/s", 1400, PORT, 300_000, 200_000),
        Traffic("60 KB, 1.9 Gbit/s", 60_000, PORT, 6_016, 4_000),
    )
    with open_wire(offloads=True) as wire:
        for traffic in bulk:
            for program in PROGRAMS:
                cost = measure(wire, traffic, program, (PORT,), stall_ms)
                share = cost.dropped / (cost.read + cost.dropped)
                print(f"{traffic.name:>20} {program:>8} {share:>8.1%}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--stall-ms", type=int, default=1000)
    options = parser.parse_args()
    if os.geteuid() != 0:
        raise SystemExit("network namespaces need root")
    BUILD.mkdir(parents=True, exist_ok=True)
    costs(options.rounds)
    losses(options.stall_ms)
    return 0


if __name__ == "__main__":
    sys.exit(main())
