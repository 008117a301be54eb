"""`hoptap send-test` to every kind of receiver on the network: its answers, also to a bad key."""

import json
import shutil
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from sensor.exits import Exit
from tests.command import hoptap, write_config
from tests.exporters.receivers.kafka_cluster import KafkaCluster
from tests.exporters.receivers.nats_server import NatsServer
from tests.exporters.receivers.otlp import bodies_of
from tests.exporters.receivers.process import Receiver, python
from tests.exporters.receivers.sasl_broker import unbelieving_broker

pytestmark = [
    pytest.mark.server,
    pytest.mark.skipif(shutil.which("nats-server") is None, reason="no nats-server"),
]
GOOD, BAD = "s3cret-CANARY", "guess-CANARY"
REFUSAL = "Authentication failed: Invalid username or password"


def secret(directory: Path, text: str) -> str:
    path = directory / text
    path.write_text(text + "\n")
    path.chmod(0o600)
    return str(path)


def sinks(ports: dict[str, int], brokers: str, secret_file: str) -> list[dict[str, Any]]:
    user = {"username": "hoptap", "password_file": secret_file}
    return [
        {"type": "forward", "to": f"127.0.0.1:{ports['forward']}", "shared_key_file": secret_file},
        {"type": "hec", "to": f"http://127.0.0.1:{ports['hec']}", "token_file": secret_file},
        {"type": "elasticsearch", "to": f"http://127.0.0.1:{ports['bulk']}", **user},
        {"type": "otlp", "to": f"http://127.0.0.1:{ports['otlp']}", "token_file": secret_file},
        {"type": "kafka", "to": brokers},
        {"type": "nats", "to": f"127.0.0.1:{ports['nats']}", **user},
    ]


def answers(directory: Path, chosen: list[dict[str, Any]], exit_code: Exit) -> dict[str, str]:
    """What send-test says of each sink, its level first."""
    named = [{"id": each["type"], "connect_timeout_ms": 2000, **each} for each in chosen]
    config = write_config(directory, sink=named)
    done = hoptap("send-test", "-c", config, "--count", "2", exit_code=exit_code)
    assert "CANARY" not in done.stdout + done.stderr
    lines = [line.split(None, 2) for line in done.stdout.splitlines()]
    assert all(word == "sink" for _, word, _ in lines)
    return {
        rest.partition(":")[0]: f"{level} {rest.partition(': ')[2]}" for level, _, rest in lines
    }


def test_what_receivers_say(tmp_path: Path) -> None:
    authorization = f'authorization {{ user: hoptap, password: "{GOOD}" }}'
    with ExitStack() as stack:

        def start(module: str, **options: object) -> Receiver:
            return stack.enter_context(python(module, tmp_path / module, **options))

        receivers = {
            "forward": start("forward", shared_key=GOOD),
            "hec": start("hec", token=GOOD, ack=True),
            "bulk": start("bulk", user=f"hoptap:{GOOD}"),
            "otlp": start("otlp", token=GOOD),
        }
        user = {"user": "hoptap", "password": GOOD}
        nats = stack.enter_context(NatsServer(tmp_path, authorization, **user))
        nats.add_stream("hoptap.hop")
        cluster = stack.enter_context(KafkaCluster())
        ports = {name: each.port for name, each in receivers.items()} | {"nats": nats.port}

        good = answers(tmp_path, sinks(ports, cluster.brokers, secret(tmp_path, GOOD)), Exit.OK)
        messages = cluster.stored("hoptap.hop", 2)
        published = nats.stored(2)

        door = stack.enter_context(unbelieving_broker(REFUSAL))
        wrong = sinks(ports, f"127.0.0.1:{door}", secret(tmp_path, BAD))
        wrong[4] |= {"username": "hoptap", "password_file": wrong[0]["shared_key_file"]}
        bad = answers(tmp_path, wrong, Exit.OUTPUT)

    assert set(good) == set(bad)
    assert all(each.endswith("; 2 of 2 records acknowledged") for each in good.values())
    where = {name: f"127.0.0.1:{port}" for name, port in ports.items()}
    assert bad == {
        "forward": f"problem forward {where['forward']}: the receiver refused the shared key,"
        " user name or password: shared_key mismatch",
        "hec": f"problem hec {where['hec']}: 403 Forbidden: Invalid token (code 4)",
        "elasticsearch": f"problem elasticsearch {where['bulk']}: 401 Unauthorized:"
        " security_exception: unable to authenticate user [hoptap]",
        "otlp": f"problem otlp {where['otlp']}: 401 Unauthorized: token is missing or wrong",
        "kafka": f"problem kafka 127.0.0.1:{door}: SASL authentication error: {REFUSAL}",
        "nats": f"problem nats {where['nats']}: Authorization Violation",
    }
    for name in ("forward", "hec", "bulk"):
        stored = [json.dumps(line) for line in receivers[name].stored()]
        assert [line.count('"HoptapSendTest"') > 0 for line in stored] == [True, True], name
    tests = [body["extra"]["test"] for body in bodies_of(receivers["otlp"].stored())]
    tests += [json.loads(each.value() or b"")["extra"]["test"] for each in messages]
    tests += [json.loads(data)["extra"]["test"] for _, data in published]
    assert tests == ["true"] * 6
