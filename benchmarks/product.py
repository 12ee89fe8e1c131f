"""B: the product. One adapter in this process, driven through the function that the API calls.

Two of these run side by side: ``serve`` is the recipient and answers until its standard input closes; ``send`` accepts
letters and waits until each has its stored *delivered* receipt. Both print one JSON line.
"""

import argparse
import asyncio
import json
import resource
import sys
import time
from pathlib import Path

import uvloop

from agency_adapter.service import Adapter
from agency_adapter.settings import read_settings
from broker import logs
from broker.clock import Clock
from broker.session import SessionState
from schemas.envelope import LetterRequest, parse_request

IN_FLIGHT = 256
BODY_LETTERS = 1100  # Arabic letters of two bytes: with the envelope, about 4,096 bytes signed


TEXT = ("نحيطكم علماً بأن أعمال صيانة الطرق المشار إليها قد أنجزت وفق الجدول المعتمد. " * 40)[:BODY_LETTERS]


def request(recipient: str, number: int) -> LetterRequest:
    """An ordinary letter of about the size that the bare measurement uses."""
    return parse_request(
        {
            "type": "letter.general/1",
            "recipients": [{"agency": recipient}],
            "content": {"subject": f"أعمال صيانة الطرق رقم {number}", "body": TEXT},
        }
    )


def cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def resident_mb() -> float:
    for line in Path("/proc/self/status").read_text("ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("no VmRSS")


async def run(arguments: argparse.Namespace) -> None:
    settings = read_settings(arguments.config)
    logs.configure(level=30)
    adapter = Adapter(settings, Clock())
    await adapter.start()
    await adapter.session.wait_for(SessionState.READY)
    commands = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    print(json.dumps({"ready": settings.agency}), flush=True)
    # One line a command: {"send": N, "to": CODE} | {"rate": per second, "seconds": S, "to": CODE} | {"usage": 1}
    while line := await commands.readline():
        command = json.loads(line)
        if "send" in command:
            answer = await send(adapter, command["to"], command["send"])
        elif "rate" in command:
            answer = await paced(adapter, command["to"], command["rate"], command["seconds"])
        elif "accept" in command:
            await accept(adapter, command["to"], command["accept"])
            answer = {"accepted": command["accept"]}
        else:
            answer = {"cpu": cpu_seconds(), "rss_mb": resident_mb()}
        print(json.dumps(answer), flush=True)
    await adapter.stop()


async def accept(adapter: Adapter, recipient: str, letters: int) -> None:
    numbers = iter(range(letters))

    async def clerk() -> None:
        for number in numbers:
            await adapter.correspondence.send(request(recipient, number))

    await asyncio.gather(*(clerk() for _ in range(IN_FLIGHT)))


async def send(adapter: Adapter, recipient: str, letters: int) -> dict[str, float]:
    """Accept letters as fast as they come, and wait until each has its stored *delivered*."""
    before, stored = cpu_seconds(), adapter.notices.tally.stored
    began = time.perf_counter()
    await accept(adapter, recipient, letters)
    while adapter.notices.tally.stored < stored + letters:  # noqa: ASYNC110 - watched from outside
        await asyncio.sleep(0.002)
    seconds = time.perf_counter() - began
    return {"letters": letters, "seconds": seconds, "cpu": cpu_seconds() - before}


async def paced(adapter: Adapter, recipient: str, rate: float, seconds: float) -> dict[str, list[float]]:
    """Accept ``rate`` letters a second; milliseconds from acceptance to the stored *delivered* of each."""
    tally = adapter.notices.tally
    # What earlier letters took is not ours. The sweep gives what it takes out of the tally to this method.
    tally.delivered_after_ms.clear()
    latencies: list[float] = []
    adapter.metrics.observe_delivered = latencies.extend  # type: ignore[method-assign]  # instead of the histogram
    stored = tally.stored
    began, count = time.perf_counter(), int(rate * seconds)
    for number in range(count):
        await asyncio.sleep(max(0.0, began + number / rate - time.perf_counter()))
        await adapter.correspondence.send(request(recipient, number))
    while tally.stored < stored + count:  # noqa: ASYNC110 - watched from outside
        await asyncio.sleep(0.002)
    latencies += tally.delivered_after_ms
    tally.delivered_after_ms.clear()
    return {"latencies_ms": latencies}


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--config", type=Path, required=True)
    sys.setswitchinterval(0.001)
    uvloop.run(run(parser.parse_args()))
