"""The status server, asked over real HTTP."""

import http.client
import json
import socket
from collections.abc import Iterator
from contextlib import closing

import pytest

from sensor import status
from sensor.exits import OutputError
from sensor.metrics import Metrics
from sensor.status import Health, StatusServer

TIMEOUT_S = 10


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def health(clock: Clock) -> Health:
    return Health(clock)


@pytest.fixture
def metrics() -> Metrics:
    return Metrics("1.2.3")


@pytest.fixture
def server(metrics: Metrics, health: Health) -> Iterator[StatusServer]:
    server = StatusServer("127.0.0.1:0", metrics, health)
    yield server
    server.close()


def ask(
    server: StatusServer, path: str, method: str = "GET", **headers: str
) -> tuple[int, str, str]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=TIMEOUT_S)
    with closing(connection):
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.getheader("Content-Type", ""), answer.read().decode()


def reasons(server: StatusServer, path: str) -> tuple[int, list[str]]:
    code, content_type, body = ask(server, path)
    assert content_type == "application/json"
    assert json.loads(body)["status"] == ("ok" if code == 200 else "fail")
    return code, json.loads(body)["reasons"]


def test_ready_means_capturing_and_every_output_well(server: StatusServer, health: Health) -> None:
    assert reasons(server, "/readyz") == (503, ["not capturing yet"])
    health.capturing = True
    assert reasons(server, "/readyz") == (200, [])
    trouble = ["", "ndjson: No space left on device"]
    health.watches += [lambda text=text: text for text in trouble]  # type: ignore[misc]
    assert reasons(server, "/readyz") == (503, ["ndjson: No space left on device"])
    health.watches.clear()
    health.stopping = True
    assert reasons(server, "/readyz") == (503, ["stopping"])


def test_healthy_means_the_main_loop_turns(
    server: StatusServer, health: Health, clock: Clock
) -> None:
    assert reasons(server, "/healthz") == (200, [])
    clock.now += status.STALLED_S + 1
    assert reasons(server, "/healthz") == (503, ["the main loop stands still for 31 s"])
    health.turn()
    assert reasons(server, "/healthz") == (200, [])


def test_metrics_are_served_in_the_format_asked_for(server: StatusServer) -> None:
    code, content_type, body = ask(server, "/metrics")
    assert (code, content_type) == (200, "text/plain; version=0.0.4; charset=utf-8")
    assert "\nhoptap_packets_total 0.0\n" in body
    openmetrics = "application/openmetrics-text; version=1.0.0"
    code, content_type, body = ask(server, "/metrics?x=1", Accept=openmetrics)
    assert code == 200 and content_type.startswith("application/openmetrics-text")
    assert body.endswith("# EOF\n")


def test_head_has_no_body_and_other_paths_and_methods_are_refused(server: StatusServer) -> None:
    assert ask(server, "/healthz", "HEAD")[2] == ""
    assert ask(server, "/etc/passwd")[0] == 404
    assert ask(server, "/metrics", "POST")[0] == 501


def test_a_defect_while_reading_metrics_is_an_answer(
    server: StatusServer, metrics: Metrics, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> float:
        raise KeyError("secret")

    metrics.gauges["hoptap_x"] = ("X.", fail)
    code, _, body = ask(server, "/metrics")
    assert (code, body) == (500, "defect: KeyError\n")
    assert "metrics cannot be read" in caplog.text
    assert ask(server, "/healthz")[0] == 200


def test_a_client_that_says_nothing_is_dropped(
    metrics: Metrics, health: Health, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(status._Handler, "timeout", 0.2)
    server = StatusServer("127.0.0.1:0", metrics, health)
    with socket.create_connection(("127.0.0.1", server.port), TIMEOUT_S) as silent:
        assert silent.recv(1) == b""
    server.close()


def test_too_many_clients_at_once_are_turned_away(
    metrics: Metrics, health: Health, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(status, "REQUESTS_MAX", 2)
    server = StatusServer("127.0.0.1:0", metrics, health)
    silent = [socket.create_connection(("127.0.0.1", server.port), TIMEOUT_S) for _ in range(3)]
    assert silent[2].recv(1) == b""
    for each in silent[:2]:
        each.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
        assert each.recv(12) == b"HTTP/1.0 200"
    for each in silent:
        each.close()
    server.close()


def test_an_address_that_is_taken_is_one_line(server: StatusServer, health: Health) -> None:
    listen = f"127.0.0.1:{server.port}"
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        listen = f"127.0.0.1:{holder.getsockname()[1]}"
        with pytest.raises(OutputError) as caught:
            StatusServer(listen, Metrics(""), health)
    assert caught.value.lines == (f"status.listen {listen}: Address already in use",)


def test_an_ipv6_address_works(metrics: Metrics, health: Health) -> None:
    if not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    server = StatusServer("[::1]:0", metrics, health)
    with socket.create_connection(("::1", server.port), TIMEOUT_S) as client:
        client.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
        assert client.recv(12) == b"HTTP/1.0 200"
    server.close()
