"""nginx and HAProxy that end TLS and begin it anew towards a vCenter, handing over their secrets.

What the README tells an administrator to write stands in their configuration word by word, with
this test's addresses and paths in place of the README's.
"""

import re
import subprocess
from pathlib import Path

from tests.certificates import self_signed
from tests.command import ROOT
from tests.lab import keysend
from tests.lab.namespaces import SERVER_ADDRESS, Namespace, wait_for

README = (ROOT / "README.md").read_text()
SERVER = "10.91.0.3:443"
UDP_README = "127.0.0.1:5555"
TIMEOUT_S = 60

NGINX = """
daemon off; pid {directory}/nginx.pid; user root; worker_processes 1;
error_log {directory}/nginx.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {directory}; proxy_temp_path {directory}; fastcgi_temp_path {directory};
    uwsgi_temp_path {directory}; scgi_temp_path {directory};
    upstream vcenter {{ server {server}; keepalive 4; }}
    server {{
        listen {SERVER_ADDRESS}:443 ssl;
        ssl_protocols TLSv1.3;
        ssl_certificate {pem}; ssl_certificate_key {pem};
        location / {{
            proxy_pass https://vcenter;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header X-Forwarded-For $remote_addr;
        }}
    }}
}}
"""

HAPROXY = """
global
{settings}
defaults
    mode http
    timeout connect 5s
    timeout client 30s
    timeout server 30s
frontend people
    bind {SERVER_ADDRESS}:443 ssl crt {pem}
    option forwardfor
{frontend}
    default_backend vcenter
backend vcenter
    server vcenter {server} ssl verify none
"""


def start_nginx(
    host: Namespace, directory: Path, keys_unix: Path, program: tuple[str, ...] = ("nginx",)
) -> None:
    configuration = directory / "nginx.conf"
    configuration.write_text(_filled(NGINX, directory))
    command = (*_preloaded(directory, keys_unix), *program, "-c", str(configuration))
    # Its worker would outlive a master that is killed, but for a process namespace of their own.
    _start(host, directory, ("unshare", "--pid", "--fork", "--kill-child", *command))


def start_haproxy(host: Namespace, directory: Path, keys_udp: str) -> None:
    """It logs its secrets; of its side towards servers 2.6 logs none."""
    settings = _readme(r"^(    tune\.ssl\.keylog on\n(?:    .*\n)*)").replace(UDP_README, keys_udp)
    frontend = _readme(r"^(    log global\n    log-format .*)$")
    assert keys_udp in settings
    _start_haproxy(host, directory, ("haproxy",), settings=settings, frontend=frontend)


def start_haproxy_preloaded(
    host: Namespace, directory: Path, keys_unix: Path, program: tuple[str, ...] = ("haproxy",)
) -> None:
    before = (*_preloaded(directory, keys_unix), *program)
    _start_haproxy(host, directory, before, settings="", frontend="")


def _start_haproxy(
    host: Namespace, directory: Path, program: tuple[str, ...], **filled: str
) -> None:
    configuration = directory / "haproxy.cfg"
    configuration.write_text(_filled(HAPROXY, directory, **filled))
    _start(host, directory, (*program, "-db", "-f", str(configuration)))


def _preloaded(directory: Path, keys_unix: Path) -> tuple[str, ...]:
    environment = _readme(r"^    Environment=(.*)$")
    environment = environment.replace("/usr/local/lib/keysend.so", str(keysend.build(directory)))
    environment = environment.replace("/run/hoptap/keys.sock", str(keys_unix))
    assert str(directory) in environment and str(keys_unix) in environment
    return ("env", *environment.split())


def _start(host: Namespace, directory: Path, command: tuple[str, ...]) -> None:
    with (directory / "proxy.out").open("w") as said:
        process = host.start(*command, stdout=said, stderr=said)
    _wait_until_it_listens(host, process, directory / "proxy.out")


def _readme(pattern: str) -> str:
    found = re.findall(pattern, README, re.MULTILINE)
    assert len(found) == 1, f"{pattern}: {len(found)} times in the README"
    return str(found[0])


def _filled(text: str, directory: Path, **more: str) -> str:
    return text.format(
        directory=directory,
        pem=self_signed(directory / "site.pem", "proxy.test"),
        SERVER_ADDRESS=SERVER_ADDRESS,
        server=SERVER,
        **more,
    )


def _wait_until_it_listens(host: Namespace, process: subprocess.Popen[str], said: Path) -> None:
    def listens() -> bool:
        assert process.poll() is None, said.read_text()
        return f"{SERVER_ADDRESS}:443" in host.run("ss", "-ltnH")

    wait_for(listens, "a listening proxy")
