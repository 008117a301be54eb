"""Clients of a vCenter over TLS, each with another library: they log in and out, as themselves.

A library is a private copy, so that a tap of the file is a tap of these clients alone.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.lab import simulator
from tests.lab.namespaces import Namespace
from tests.lab.vsphere_change import PASSWORD

TIMEOUT_S = 30
GO_SOURCES = [simulator.ROOT / "tests" / "lab" / "goclient" / "main.go"]
_BODY = (
    '<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"><soapenv:Body>'
    '<{name} xmlns="urn:vim25"><_this type="SessionManager">SessionManager</_this>{more}</{name}>'
    "</soapenv:Body></soapenv:Envelope>"
)


@dataclass(frozen=True, slots=True)
class Clients:
    host: Namespace
    server: str  # address
    directory: Path  # of the copies

    @property
    def openssl(self) -> Path:
        return self._copied("libssl.so.3", "openssl")

    @property
    def gnutls(self) -> Path:
        return self._copied("libgnutls.so.30", "gnutls-cli")

    @property
    def go(self) -> Path:
        copy = self.directory / "goclient"
        if not copy.exists():
            shutil.copy(simulator.built_of("goclient", GO_SOURCES), copy)
        return copy

    def _copied(self, name: str, user: str) -> Path:
        copy = self.directory / name
        if not copy.exists():
            program = shutil.which(user)
            if program is None:
                pytest.skip(f"no {user}")
            said = subprocess.run(["ldd", program], capture_output=True, text=True, check=True)
            found = re.search(rf"{re.escape(name)} => (\S+)", said.stdout)
            if found is None:
                pytest.skip(f"{user} does without {name}")
            shutil.copy(found[1], copy)
        return copy

    def pyvmomi(self, user: str) -> None:
        code = (
            "import sys; from pyVim.connect import SmartConnect, Disconnect; "
            "Disconnect(SmartConnect(host=sys.argv[1], port=443, user=sys.argv[2], "
            "pwd=sys.argv[3], disableSslCertValidation=True))"
        )
        self._run(sys.executable, "-c", code, self.server, user, PASSWORD)

    def curl(self, user: str) -> None:
        url, jar = f"https://{self.server}/sdk", str(self.directory / "cookies")
        each = ("-s", "-k", "--http1.1", "-b", jar, "-c", jar, url)
        self._run("curl", *each, "-d", login(user), "--next", *each, "-d", logout())

    def s_client(self, user: str) -> None:
        self._talk(user, "openssl", "s_client", "-quiet", "-connect", f"{self.server}:443")

    def gnutls_cli(self, user: str) -> None:
        self._talk(user, "gnutls-cli", "--insecure", "--logfile=/dev/null", self.server)

    def go_client(self, user: str) -> None:
        self._run(str(self.go), f"https://{user.replace('@', '%40')}:{PASSWORD}@{self.server}/sdk")

    def _run(self, *command: str) -> str:
        return self.host.run("env", f"LD_LIBRARY_PATH={self.directory}", *command)

    def _talk(self, user: str, *command: str) -> None:
        """Through a program that passes on what it is given."""
        inside = ("nsenter", f"--net=/proc/{self.host.pid}/ns/net", "env")
        process = subprocess.Popen(
            [*inside, f"LD_LIBRARY_PATH={self.directory}", *command],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        with process:
            try:
                cookie = _asked(process, _request(login(user)), rb"(vmware_soap_session=[^;]+);")
                _asked(process, _request(logout(), cookie), rb"LogoutResponse(.*)\Z")
            finally:
                process.kill()


def login(user: str) -> str:
    more = f"<userName>{user}</userName><password>{PASSWORD}</password>"
    return _BODY.format(name="Login", more=more)


def logout() -> str:
    return _BODY.format(name="Logout", more="")


def of_all(clients: Clients) -> dict[str, Callable[[str], None]]:
    """User -> what he does."""
    return {
        f"{each.__name__}@vsphere.local": each
        for each in (
            clients.pyvmomi,
            clients.curl,
            clients.s_client,
            clients.gnutls_cli,
            clients.go_client,
        )
    }


def _request(body: str, cookie: bytes = b"") -> bytes:
    head = f"POST /sdk HTTP/1.1\r\nHost: vc.test\r\nContent-Length: {len(body)}\r\n"
    return (
        head.encode()
        + (b"Cookie: " + cookie + b"\r\n" if cookie else b"")
        + b"\r\n"
        + body.encode()
    )


def _asked(process: "subprocess.Popen[bytes]", request: bytes, wanted: bytes) -> bytes:
    """What `wanted` finds in the answer."""
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(request)
    process.stdin.flush()
    said = b""
    while not (found := re.search(wanted, said, re.DOTALL)):
        more = os.read(process.stdout.fileno(), 65536)
        assert more, said
        said += more
    return found[1]
