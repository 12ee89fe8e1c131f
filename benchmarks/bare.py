"""A: the yardstick. Bare aio-pika round trips between two processes: a letter out, an answer back, nothing else.

256 publishes in flight, prefetch 500, persistent messages, confirms awaited, a letter acknowledged after its answer
is confirmed, 4,096 and 600 bytes, mutual TLS 1.3, quorum queues, a stream bound beside them. Nothing is signed,
verified or stored. ``python benchmarks/bare.py --letters 5000`` starts a private node of its own.
"""

import argparse
import asyncio
import base64
import json
import os
import ssl
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import aio_pika
import uvloop

from broker.node import PrivateNode

IN_FLIGHT, PREFETCH, LETTER, ANSWER = 256, 500, b"x" * 4096, b"y" * 600
TICK = os.sysconf("SC_CLK_TCK")


def beam_of(node: PrivateNode) -> int:
    """The process of the node's Erlang machine."""
    marks = (b"beam.smp", node.name.encode())
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        if all(mark in file.read_bytes() for mark in marks):
            return int(file.parent.name)
    raise RuntimeError("the broker does not run")


def cpu_of(pid: int) -> float:
    """Seconds of CPU that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text("ascii").rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def declare(node: PrivateNode, vhost: str) -> None:
    """Two topic exchanges, two quorum queues, one stream that gets everything, two users."""
    account = json.loads(node.credentials.read_text("utf-8"))
    secret = base64.b64encode(f"{account['user']}:{account['password']}".encode()).decode()

    def put(path: str, body: object, method: str = "PUT") -> None:
        request = urllib.request.Request(f"{node.management_url}/api/{path}", json.dumps(body).encode(), method=method)  # noqa: S310
        request.add_header("Authorization", f"Basic {secret}")
        request.add_header("Content-Type", "application/json")
        urllib.request.urlopen(request).close()  # noqa: S310 - loopback

    put(f"vhosts/{vhost}", {})
    put(f"queues/{vhost}/stream", {"durable": True, "arguments": {"x-queue-type": "stream"}})
    for user, queue in (("alpha", "letters"), ("omega", "answers")):
        put(f"users/{user}", {"password_hash": "", "tags": ""})
        put(f"permissions/{vhost}/{user}", {"configure": "^$", "write": ".*", "read": ".*"})
        put(f"exchanges/{vhost}/from.{user}", {"type": "topic", "durable": True})
        put(f"queues/{vhost}/{queue}", {"durable": True, "arguments": {"x-queue-type": "quorum"}})
        put(f"bindings/{vhost}/e/from.{user}/q/{queue}", {"routing_key": queue}, "POST")
        put(f"bindings/{vhost}/e/from.{user}/q/stream", {"routing_key": queue}, "POST")


async def open_channels(
    user: str, port: int, vhost: str, tls: Path
) -> tuple[aio_pika.abc.AbstractExchange, aio_pika.abc.AbstractChannel]:
    context = ssl.create_default_context(cafile=tls / "root.pem")
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(tls / f"{user}.pem", tls / f"{user}.key")
    url = f"amqps://127.0.0.1:{port}/{vhost}?auth=external"
    publishing, consuming = [await aio_pika.connect(url, ssl_context=context) for _ in range(2)]
    channel = await consuming.channel()
    await channel.set_qos(prefetch_count=PREFETCH)
    return await (await publishing.channel()).get_exchange(f"from.{user}", ensure=False), channel


async def answer(port: int, vhost: str, tls: Path) -> None:
    exchange, channel = await open_channels("omega", port, vhost, tls)

    async def on_letter(letter: aio_pika.abc.AbstractIncomingMessage) -> None:
        await exchange.publish(aio_pika.Message(ANSWER, delivery_mode=2), "answers")
        await letter.ack()

    await (await channel.get_queue("letters", ensure=False)).consume(on_letter)
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.read)


async def ask(port: int, vhost: str, tls: Path, letters: int) -> float:
    """The sender: seconds until every letter is answered and every answer acknowledged."""
    exchange, channel = await open_channels("alpha", port, vhost, tls)
    numbers, done, left = iter(range(letters)), asyncio.Event(), letters

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
    await asyncio.gather(*(clerk() for _ in range(IN_FLIGHT)))
    await done.wait()
    return time.perf_counter() - began


def measure(port: int, vhost: str, tls: Path, letters: int, broker_pid: int) -> dict[str, float]:
    """One run. CPU counts both processes and the broker."""
    command = [sys.executable, __file__, "--answer", "--port", str(port), "--vhost", vhost, "--tls", str(tls)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as recipient:
        recipient.stdout.readline()
        before = time.process_time() + cpu_of(recipient.pid) + cpu_of(broker_pid)
        seconds = uvloop.run(ask(port, vhost, tls, letters))
        cpu = time.process_time() + cpu_of(recipient.pid) + cpu_of(broker_pid) - before
        recipient.communicate()
    return {"letters": letters, "seconds": seconds, "per_second": letters / seconds, "cpu_us": cpu / letters * 1e6}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--letters", type=int, default=5000)
    parser.add_argument("--answer", action="store_true", help=argparse.SUPPRESS)
    for option, kind in (("--port", int), ("--vhost", str), ("--tls", Path)):
        parser.add_argument(option, type=kind, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.answer:
        uvloop.run(answer(given.port, given.vhost, given.tls))
    else:
        with PrivateNode() as node:
            declare(node, "bare")
            files = [node.client(user) for user in ("alpha", "omega")]
            print(json.dumps(measure(node.amqps_port, "bare", files[0].key.parent, given.letters, beam_of(node))))
