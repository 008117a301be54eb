"""`make bench`: requests per second of nginx without a tap, and with one in either mode. As root.

The three take turns, each with a sensor that does what it would do: it reads the ring and decodes
what comes. Client, server and sensor share this machine's cores. Nothing may be lost uncounted.
"""

import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

from sensor.bpf import missing
from tests.certificates import self_signed
from tests.command import HOPTAP, ROOT, write_config
from tests.lab.tapped import private_copy

ROUNDS = 3
REQUESTS, CONNECTIONS = 10_000, 8
BODY_BYTES = 300
PORT, STATUS_PORT = 15443, 9797
WAIT_S, SETTLE_S = 60, 0.5
MODES = {"no tap": "", "plaintext": "--tap", "keys": "--tap-keys"}
NGINX = """
daemon off; pid {directory}/nginx.pid; user root; worker_processes 1;
error_log {directory}/nginx.log;
events {{}}
http {{
    access_log off; keepalive_requests 1000000;
    client_body_temp_path {directory}; proxy_temp_path {directory}; fastcgi_temp_path {directory};
    uwsgi_temp_path {directory}; scgi_temp_path {directory};
    server {{
        listen 127.0.0.1:{PORT} ssl; root {directory};
        ssl_certificate {pem}; ssl_certificate_key {pem};
    }}
}}
"""


def built(directory: Path) -> Path:
    binary = directory / "requests"
    cache = {"GOCACHE": str(ROOT / "build" / "lab" / "go-cache"), "GO111MODULE": "off"}
    source = str(Path(__file__).with_name("requests.go"))
    subprocess.run(["go", "build", "-o", str(binary), source], check=True, env=os.environ | cache)
    return binary


@contextmanager
def nginx(directory: Path) -> Iterator[str]:
    """Its name, which nothing else on this machine has."""
    pem = self_signed(directory / "site.pem", "tap.test")
    (directory / "file").write_bytes(bytes(BODY_BYTES))
    configuration = directory / "nginx.conf"
    configuration.write_text(NGINX.format(directory=directory, pem=pem, PORT=PORT))
    name, command = private_copy("nginx", directory)
    with subprocess.Popen([*command, "-c", str(configuration)]) as process:
        try:
            wait_for_port(PORT)
            yield name
        finally:
            process.terminate()


@contextmanager
def sensor(directory: Path, option: str, name: str) -> Iterator[list[int]]:
    """Its PID, with a tap of nginx, once that is attached; none without an option."""
    if not option:
        yield []
        return
    listen = f"127.0.0.1:{STATUS_PORT}"
    config = write_config(directory, status={"listen": listen}, keys={"decrypt": True})
    command = [HOPTAP, "run", option, name, "-c", str(config)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            wait_for_port(STATUS_PORT)
            until(lambda: metrics().get("hoptap_tap_processes", 0) >= 2)  # master and worker
            yield [process.pid]
        finally:
            process.terminate()


def wait_for_port(port: int) -> None:
    until(lambda: f":{port} " in subprocess.check_output(["ss", "-ltnH"], text=True))


def until(done: Callable[[], bool]) -> None:
    end_s = time.monotonic() + WAIT_S
    while not done():
        if time.monotonic() > end_s:
            raise TimeoutError
        time.sleep(0.05)


def metrics() -> dict[str, int]:
    """Sums over their labels."""
    url = f"http://127.0.0.1:{STATUS_PORT}/metrics"
    text = urlopen(url, timeout=WAIT_S).read().decode()
    found: dict[str, int] = {}
    for name, value in re.findall(r"^(\w+)(?:\{[^}]*\})? ([0-9.e+]+)$", text, re.MULTILINE):
        found[name] = found.get(name, 0) + int(float(value))
    return found


def settled() -> dict[str, int]:
    """When the sensor has read all that is in the ring."""
    before: dict[str, int] = {}

    def quiet() -> bool:
        now = metrics()
        same = now["hoptap_tap_events_total"] == before.get("hoptap_tap_events_total")
        before.update(now)
        time.sleep(SETTLE_S)
        return same

    until(quiet)
    return before


def used_us(pids: list[int]) -> float:
    """CPU time of their threads so far, of user and system."""
    tasks = [task for pid in pids for task in Path(f"/proc/{pid}/task").iterdir()]
    return sum(int(Path(task, "schedstat").read_text().split()[0]) for task in tasks) / 1000


def workers(name: str) -> list[int]:
    return [int(pid) for pid in subprocess.check_output(["pgrep", "-x", name]).split()]


@dataclass(frozen=True)
class Measured:
    rate: float  # requests/s, which other programs of this machine lower
    served_us: float  # CPU of nginx a request, its probes included
    read_us: float  # of the sensor
    counted: dict[str, int]


def measure(client: Path, directory: Path, option: str, name: str) -> Measured:
    with sensor(directory, option, name) as own:
        asked = [str(client), f"https://127.0.0.1:{PORT}/file", str(REQUESTS), str(CONNECTIONS)]
        serving = workers(name)
        before = used_us(serving), used_us(own)
        rate = float(subprocess.check_output(asked, text=True, timeout=WAIT_S))
        counted = settled() if option else {}
        served, read = used_us(serving) - before[0], used_us(own) - before[1]
        return Measured(rate, served / REQUESTS, read / REQUESTS, counted)


def show(mode: str, rounds: list[Measured], base: float) -> None:
    rates = [each.rate for each in rounds]
    rate, counted = statistics.median(rates), rounds[-1].counted
    served, read = (
        statistics.median(each)
        for each in ([each.served_us for each in rounds], [each.read_us for each in rounds])
    )
    spread = f"{min(rates):,.0f} to {max(rates):,.0f}"
    print(f"{mode:<12}{rate:>9,.0f} requests/s ({spread}), {rate / base:.0%} of that without; "
          f"CPU a request: nginx {served:.0f} us, sensor {read:.0f} us")  # fmt: skip
    if mode != "plaintext":
        return
    if counted:
        read, lost = counted["hoptap_tap_bytes_total"], counted["hoptap_tap_lost_bytes_total"]
        each, rest = divmod(read + lost, REQUESTS)
        exact = "exactly" if rest == 0 else f"AND {rest} BYTES"
        print(f"            read {read:,} bytes, lost {lost:,}: {exact} {each} a request")


def main() -> int:
    lacking = missing()
    if lacking or not all(map(shutil.which, ("nginx", "go"))):
        print(
            "tap: not measured:", "; ".join(each.what for each in lacking) or "no nginx, or no go"
        )
        return 0
    rounds: dict[str, list[Measured]] = {mode: [] for mode in MODES}
    with tempfile.TemporaryDirectory() as path, nginx(Path(path)) as name:
        directory = Path(path)
        client = built(directory)
        for _ in range(ROUNDS):
            for mode, option in MODES.items():
                rounds[mode].append(measure(client, directory, option, name))
    base = statistics.median(each.rate for each in rounds["no tap"])
    print(f"{REQUESTS:,} requests on {CONNECTIONS} connections, median of {ROUNDS} rounds in turn")
    for mode, each in rounds.items():
        show(mode, each, base)
    return 0


if __name__ == "__main__":
    sys.exit(main())
