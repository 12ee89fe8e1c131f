"""A: the yardstick. Bare aio-pika round trips between two processes: a letter out, an answer back, nothing else.

256 in flight, prefetch 500, persistent, confirms awaited, a letter acked after its answer's confirm, 4,096 and 600
bytes, mutual TLS 1.3, quorum queues, a stream bound beside. ``python benchmarks/bare.py 5000`` starts its own node.
"""

import asyncio
import base64
import contextlib
import json
import os
import ssl
import subprocess
import sys
import time
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path

import aio_pika
import uvloop

from broker.node import PrivateNode

IN_FLIGHT, PREFETCH, LETTER, ANSWER = 256, 500, b"x" * 4096, b"y" * 600


def cpu_of(pid: int) -> float:
    """Seconds of CPU that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text("ascii").rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def declare(node: PrivateNode, vhost: str) -> None:
    """Two topic exchanges, two quorum queues, one stream that gets everything, two users."""
    account = json.loads(node.credentials.read_text("utf-8"))
    secret = base64.b64encode(f"{account['user']}:{account['password']}".encode()).decode()
    headers = {"Authorization": f"Basic {secret}", "Content-Type": "application/json"}

    def put(path: str, body: object, method: str = "PUT") -> None:
        url, content = f"{node.management_url}/api/{path}", json.dumps(body).encode()
        urllib.request.urlopen(urllib.request.Request(url, content, headers, method=method)).close()  # noqa: S310

    put(f"vhosts/{vhost}", {})
    put(f"queues/{vhost}/stream", {"durable": True, "arguments": {"x-queue-type": "stream"}})
    for user, queue in (("alpha", "letters"), ("omega", "answers")):
        put(f"users/{user}", {"password_hash": "", "tags": ""})
        put(f"permissions/{vhost}/{user}", {"configure": "^$", "write": ".*", "read": ".*"})
        put(f"exchanges/{vhost}/from.{user}", {"type": "topic", "durable": True})
        put(f"queues/{vhost}/{queue}", {"durable": True, "arguments": {"x-queue-type": "quorum"}})
        for target in (queue, "stream"):
            put(f"bindings/{vhost}/e/from.{user}/q/{target}", {"routing_key": queue}, "POST")


@contextlib.asynccontextmanager
async def opened(
    user: str, port: int, vhost: str, tls: Path
) -> AsyncIterator[tuple[aio_pika.abc.AbstractExchange, aio_pika.abc.AbstractChannel]]:
    context = ssl.create_default_context(cafile=tls / "root.pem")
    context.load_cert_chain(tls / f"{user}.pem", tls / f"{user}.key")
    url = f"amqps://127.0.0.1:{port}/{vhost}?auth=external"
    publishing, consuming = [await aio_pika.connect(url, ssl_context=context) for _ in range(2)]
    async with publishing, consuming, publishing.channel() as out, consuming.channel() as channel:
        await channel.set_qos(prefetch_count=PREFETCH)
        yield await out.get_exchange(f"from.{user}", ensure=False), channel


async def answer(port: int, vhost: str, tls: Path) -> None:
    async with opened("omega", port, vhost, tls) as (exchange, channel):

        async def on_letter(letter: aio_pika.abc.AbstractIncomingMessage) -> None:
            await exchange.publish(aio_pika.Message(ANSWER, delivery_mode=2), "answers")
            await letter.ack()

        await (await channel.get_queue("letters", ensure=False)).consume(on_letter)
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.read)


async def ask(port: int, vhost: str, tls: Path, letters: int) -> float:
    """The sender: seconds until every letter is answered and every answer acknowledged."""
    numbers, done, left = iter(range(letters)), asyncio.Event(), letters
    async with opened("alpha", port, vhost, tls) as (exchange, channel):

        async def on_answer(message: aio_pika.abc.AbstractIncomingMessage) -> None:
            nonlocal left
            await message.ack()
            left -= 1
            _ = left or done.set()

        async def clerk() -> None:
            for _ in numbers:
                await exchange.publish(aio_pika.Message(LETTER, delivery_mode=2), "letters")

        await (await channel.get_queue("answers", ensure=False)).consume(on_answer)
        began = time.perf_counter()
        await asyncio.gather(*(clerk() for _ in range(IN_FLIGHT)), done.wait())
        return time.perf_counter() - began


def measure(node: PrivateNode, vhost: str, tls: Path, letters: int) -> dict[str, float]:
    """One run. CPU counts both processes and the broker."""
    command = [sys.executable, __file__, "--answer", str(node.amqps_port), vhost, str(tls)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as recipient:
        recipient.stdout.readline()
        before = time.process_time() + cpu_of(recipient.pid) + cpu_of(node.pid)
        seconds = uvloop.run(ask(node.amqps_port, vhost, tls, letters))
        cpu = time.process_time() + cpu_of(recipient.pid) + cpu_of(node.pid) - before
        recipient.communicate()
    return {"letters": letters, "seconds": seconds, "per_second": letters / seconds, "cpu_us": cpu / letters * 1e6}


if __name__ == "__main__":
    if sys.argv[1] == "--answer":
        uvloop.run(answer(int(sys.argv[2]), sys.argv[3], Path(sys.argv[4])))
    else:
        with PrivateNode() as private:
            declare(private, "bare")
            files = [private.client(user) for user in ("alpha", "omega")]
            print(json.dumps(measure(private, "bare", files[0].key.parent, int(sys.argv[1]))))
