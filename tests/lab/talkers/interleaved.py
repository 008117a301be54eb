"""As client.py with many connections at once on one thread, whose TLS is in memory BIOs."""

import asyncio
import ssl
import sys

from tests.lab.talkers.client import text

CONNECTIONS = 20


async def talk(port: int, number: int, sizes: list[int]) -> None:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    for size in sizes:
        writer.write(b"%d\n" % size + text(number, size))
        await writer.drain()
        await reader.readexactly(size)
    writer.close()
    await writer.wait_closed()


async def talk_all(port: int, sizes: list[int]) -> None:
    await asyncio.gather(*(talk(port, number, sizes) for number in range(CONNECTIONS)))


if __name__ == "__main__":
    print("ready", flush=True)
    for line in sys.stdin:
        asyncio.run(talk_all(int(line), [int(size) for size in sys.argv[1:]]))
        print("done", flush=True)
