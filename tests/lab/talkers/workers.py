"""Forks workers that speak as client.py does, all under one name: workers.py NAME SIZE...

`fork` on standard input forks one, which speaks at once if a port follows; a port makes each of
them speak, one after the other.
"""

import os
import sys

from tests.lab.talkers.client import talk


def work(orders: int, reports: int, number: int, sizes: list[int]) -> None:
    while order := os.read(orders, 16):
        talk(int(order), number, sizes)
        os.write(reports, b"x")


def main() -> None:
    with open("/proc/self/comm", "w", encoding="ascii") as file:
        file.write(sys.argv[1])
    sizes = [int(size) for size in sys.argv[2:]]
    workers: list[tuple[int, int]] = []
    print("ready", flush=True)
    for line in sys.stdin:
        if line.startswith("fork"):
            at_once = line.split()[1:]
            (orders, order), (report, reports) = os.pipe(), os.pipe()
            if os.fork() == 0:
                sys.stdin.close()
                os.close(order)
                for other, _ in workers:
                    os.close(other)
                for port in at_once:
                    talk(int(port), len(workers), sizes)
                    os.write(reports, b"x")
                work(orders, reports, len(workers), sizes)
                os._exit(0)
            os.close(orders)
            os.close(reports)
            workers.append((order, report))
            for _ in at_once:
                os.read(report, 1)
        else:
            for order, report in workers:
                os.write(order, line.strip().encode())
                os.read(report, 1)
        print("done", flush=True)


if __name__ == "__main__":
    main()
