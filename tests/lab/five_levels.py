"""Portal, cloud, vCenter and hosts on one switch, a proxy in front, and the people who use them."""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from tests.certificates import self_signed
from tests.lab import simulator
from tests.lab.levels import (
    CLOUD,
    HOSTS,
    KEYSTONE,
    MACHINES,
    PASSWORD,
    PEOPLE,
    PORTAL,
    PROXY,
    VCENTER,
    Host,
    at,
)
from tests.lab.namespaces import Namespace, wait_for

SWITCH = "switch0"
WORK_TIMEOUT_S = 30
LOGIN_S = 2.0  # from the start of the people's programs until all of them are logged in
SQUID_HELPER = Path("/usr/lib/squid/basic_ncsa_auth")

SQUID = """
http_port {address}
auth_param basic program {helper} {accounts}
auth_param basic realm lab
acl known proxy_auth REQUIRED
http_access allow known
http_access deny all
cache deny all
access_log none
cache_log /dev/null
cache_store_log none
pid_filename none
netdb_filename none
pinger_enable off
coredump_dir /
shutdown_lifetime 0 seconds
visible_hostname proxy.lab
"""


class Lab:
    """The servers, once they listen."""

    def __init__(self, stack: ExitStack) -> None:
        self.switch = stack.enter_context(Namespace())
        self.switch.run("ip", "link", "add", SWITCH, "type", "bridge")
        self.switch.run("ip", "link", "set", SWITCH, "up")
        self._stack = stack
        self._plugged = 0
        self._environment: tuple[str, ...] = ()
        self.people = self._plug(*(person.ip for person in PEOPLE))

    def start(self, directory: Path, *, with_ids: bool, keys: Path | None = None) -> None:
        """`keys`: the REST levels speak TLS, whose secrets go there."""
        if keys is not None:
            pem = f"LAB_TLS_PEM={self_signed(directory / 'site.pem', 'lab.test')}"
            self._environment = ("env", pem, f"LAB_TLS_KEYS={keys}")
        ids = ("--ids",) if with_ids else ()
        half = len(MACHINES) // 2
        for host, machines in zip(HOSTS, (MACHINES[:half], MACHINES[half:]), strict=True):
            options = ("-esx", "-user", "vpxuser", "-password", PASSWORD)
            self._simulate(host, *options, "-machines", ",".join(machines))
        hosts = ",".join(map(at, HOSTS))
        options = ("-any", "-hosts", hosts, "-host-password", PASSWORD)
        self._simulate(VCENTER, *options, "-machines", ",".join(MACHINES))
        self._start_proxy(directory)
        self._serve(KEYSTONE, "keystone", KEYSTONE.ip, str(KEYSTONE.port))
        self._serve(CLOUD, "cloud", *ids)
        self._serve(PORTAL, "portal", *ids)

    def work(self, *, calm: int, rounds: int) -> list[dict[str, Any]]:
        """Rounds in which people take turns, then all at once; what they say that they did."""
        begin = f"{time.time() + LOGIN_S}"
        at_work = [
            self.people.start(
                *self._module("person", person.name, begin, str(calm), str(rounds)),
                stdout=subprocess.PIPE,
            )
            for person in PEOPLE
        ]
        did: list[dict[str, Any]] = []
        for process in at_work:
            said, _ = process.communicate(timeout=WORK_TIMEOUT_S)
            assert process.returncode == 0
            did += map(json.loads, said.splitlines())
        return sorted(did, key=lambda each: float(each["begun"]))

    def _plug(self, *addresses: str) -> Namespace:
        """A host on the switch, whose frames are as on a real wire."""
        host = self._stack.enter_context(Namespace())
        self._plugged += 1
        port = f"port{self._plugged}"
        peer = ("peer", "name", "eth0", "netns", str(host.pid))
        self.switch.run("ip", "link", "add", port, "type", "veth", *peer)
        features = ("tso", "off", "gso", "off", "gro", "off", "tx", "off")
        for end, interface in ((self.switch, port), (host, "eth0")):
            end.run("ethtool", "-K", interface, *features)
        self.switch.run("ip", "link", "set", port, "master", SWITCH, "up")
        for address in addresses:
            host.run("ip", "address", "add", f"{address}/16", "dev", "eth0")
        host.run("ip", "link", "set", "eth0", "up")
        return host

    def _serve(self, host: Host, module: str, *arguments: str) -> None:
        command = self._module(module, *arguments)
        process = self._plug(host.ip).start(*command, stdout=subprocess.PIPE)
        assert process.stdout is not None
        assert process.stdout.readline().startswith("http"), f"{module} did not start"

    def _module(self, name: str, *arguments: str) -> tuple[str, ...]:
        return (*self._environment, sys.executable, "-m", f"tests.lab.{name}", *arguments)

    def _simulate(self, host: Host, *options: str) -> None:
        simulator.start_with(self._plug(host.ip), at(host), *options)

    def _start_proxy(self, directory: Path) -> None:
        """Squid gives its rights up, so what it reads is not where only root may look."""
        public = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="squid-")))
        public.chmod(0o755)
        accounts, configuration = public / "accounts", public / "squid.conf"
        crypted = subprocess.run(
            ["openssl", "passwd", "-apr1", "-stdin"],
            input=PASSWORD, capture_output=True, text=True, check=True, timeout=WORK_TIMEOUT_S,
        ).stdout.strip()  # fmt: skip
        accounts.write_text("".join(f"{person.name}:{crypted}\n" for person in PEOPLE))
        filled = SQUID.format(address=at(PROXY), helper=SQUID_HELPER, accounts=accounts)
        configuration.write_text(filled)
        host = self._plug(PROXY.ip)
        # Who gives up rights is no longer killed with his parent; the first of a process namespace
        # is, and takes the others along.
        command = f"squid -N -f {configuration} & wait"
        contained = ("unshare", "--pid", "--fork", "--kill-child", "sh", "-c", command)
        with (directory / "squid.out").open("w") as said:
            process = host.start(*contained, stdout=said, stderr=said)

        def listens() -> bool:
            assert process.poll() is None, (directory / "squid.out").read_text()
            return at(PROXY) in host.run("ss", "-ltnH")

        wait_for(listens, "a listening proxy")


@contextmanager
def open_lab() -> Iterator[Lab]:
    """The switch and the people; the servers are still to be started."""
    simulator.built()  # which takes minutes the first time
    with ExitStack() as stack:
        yield Lab(stack)
