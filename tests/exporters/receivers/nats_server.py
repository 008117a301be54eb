"""Debian's nats-server with JetStream in files, and its operator: makes a stream, reads it."""

import asyncio
import json
import shutil
import socket
import subprocess
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import nats
import pytest
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, StorageType, StreamConfig

from tests.exporters.receivers.process import cpu_s

START_S = 30.0
FETCH = 1000
Result = TypeVar("Result")


class NatsServer:
    """`settings` are lines of its configuration; `connect` what the operator's client needs."""

    def __init__(self, directory: Path, settings: str = "", **connect: Any) -> None:
        program = shutil.which("nats-server")
        if program is None:
            pytest.skip("nats-server is not installed (deploy/setup.sh test)")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        config = directory / "nats.conf"
        config.write_text(
            f"listen: 127.0.0.1:{self.port}\n{settings}\n"
            f"jetstream {{ store_dir: {json.dumps(str(directory / 'jetstream'))} }}\n"
        )
        self._command = [program, "--config", str(config), "--log", str(directory / "nats.log")]
        self._connect = connect
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "NatsServer":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> None:
        """Until it greets, which it does when its streams are back."""
        self._process = subprocess.Popen(self._command)
        give_up_at = time.monotonic() + START_S
        while True:
            try:
                with socket.create_connection(("127.0.0.1", self.port), 1) as connection:
                    connection.settimeout(1)
                    assert connection.recv(4) == b"INFO"
                    return
            except OSError:
                assert self._process.poll() is None, "nats-server ended"
                assert time.monotonic() < give_up_at, "nats-server does not listen"
                time.sleep(0.02)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(START_S)
            self._process = None

    def add_stream(self, subject: str, **config: Any) -> None:
        async def add(stream: JetStreamContext) -> None:
            await stream.add_stream(
                StreamConfig(name="hops", subjects=[subject], storage=StorageType.FILE, **config)
            )

        self._run(add)

    def messages(self) -> int:
        async def count(stream: JetStreamContext) -> int:
            return (await stream.stream_info("hops")).state.messages

        return self._run(count)

    def cpu_s(self) -> float:
        assert self._process is not None
        return cpu_s(self._process.pid)

    def stored(self, count: int) -> list[tuple[str, bytes]]:
        """Id and payload of all messages of the stream, which are `count`."""

        async def read(stream: JetStreamContext) -> list[tuple[str, bytes]]:
            there = (await stream.stream_info("hops")).state.messages
            assert there == count, f"{there} messages, not {count}"
            reading = ConsumerConfig(ack_policy=AckPolicy.NONE)
            puller = await stream.pull_subscribe("", "reader", "hops", reading)
            found: list[tuple[str, bytes]] = []
            while len(found) < count:
                for message in await puller.fetch(min(FETCH, count - len(found)), timeout=10):
                    assert message.headers is not None
                    found.append((message.headers["Nats-Msg-Id"], message.data))
            return found

        return self._run(read)

    def _run(self, act: Callable[[JetStreamContext], Awaitable[Result]]) -> Result:
        async def run() -> Result:
            client = await nats.connect(f"nats://127.0.0.1:{self.port}", **self._connect)
            try:
                return await act(client.jetstream(timeout=20))
            finally:
                await client.close()

        return asyncio.run(run())
