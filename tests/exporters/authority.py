"""A time stamp authority on loopback: `openssl ts` behind HTTP, with a certificate of its own."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.certificates import openssl

_CONFIG = """
[ req ]
distinguished_name = name
prompt = no
[ name ]
CN = {name}
[ ca ]
basicConstraints = critical,CA:true
subjectKeyIdentifier = hash
[ signer ]
basicConstraints = critical,CA:false
keyUsage = critical,digitalSignature
extendedKeyUsage = critical,timeStamping
[ tsa ]
serial = {directory}/serial
signer_cert = {directory}/signer.pem
signer_key = {directory}/signer.key
certs = {directory}/ca.pem
default_policy = 1.2.3.4.1
digests = sha256
accuracy = secs:1
signer_digest = sha256
ess_cert_id_alg = sha256
"""


@dataclass
class Authority:
    directory: Path
    url: str = ""
    answers: list[bytes] = field(default_factory=list)  # given instead, first to last
    status: int = 200
    asked: int = 0

    @property
    def ca(self) -> Path:
        return self.directory / "ca.pem"

    def make(self) -> None:
        for name, extensions in (("ca", "ca"), ("signer", "signer")):
            config = self.directory / "openssl.cnf"
            config.write_text(_CONFIG.format(directory=self.directory, name=name))
            made = ("-out", f"{name}.pem", "-keyout", f"{name}.key", "-noenc", "-days", "30")
            by = () if name == "ca" else ("-CA", "ca.pem", "-CAkey", "ca.key")
            openssl(
                "req", "-x509", "-config", config, "-extensions", extensions, *made, *by,
                "-newkey", "rsa:2048", directory=self.directory,
            )  # fmt: skip
        (self.directory / "serial").write_text("01\n")

    def reply(self, query: bytes) -> bytes:
        self.asked += 1
        if self.answers:
            return self.answers.pop(0)
        (self.directory / "query").write_bytes(query)
        openssl(
            "ts", "-reply", "-config", "openssl.cnf", "-section", "tsa", "-queryfile", "query",
            "-out", "reply", directory=self.directory,
        )  # fmt: skip
        return (self.directory / "reply").read_bytes()


@contextmanager
def serving(directory: Path) -> Iterator[Authority]:
    authority = Authority(directory)
    authority.make()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.headers["Content-Type"] == "application/timestamp-query"
            body = authority.reply(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(authority.status)
            self.send_header("Content-Type", "application/timestamp-reply")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Not into the output of the tests."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    authority.url = f"http://127.0.0.1:{server.server_address[1]}/"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield authority
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
