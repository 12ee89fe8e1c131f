"""B: the product. Adapters in this process, driven through the function that the API calls.

One line of JSON a command, one a result; it ends when its standard input does.
"""

import argparse
import asyncio
import contextlib
import json
import resource
import sys
import time
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import uvloop

from agency_adapter.service import Adapter
from agency_adapter.settings import read_settings
from broker import interpreter, logs
from broker.clock import Clock
from broker.session import SessionState
from deploy.demo import letters
from schemas.envelope import LetterRequest, parse_request
from schemas.working_time import KUWAIT

IN_FLIGHT = 256
BODY_LETTERS = 1100  # Arabic letters of two bytes: with the envelope, about 4,096 bytes signed
LOOK_SECONDS = 0.002

TEXT = ("نحيطكم علماً بأن أعمال صيانة الطرق المشار إليها قد أنجزت وفق الجدول المعتمد. " * 40)[:BODY_LETTERS]


def request(recipient: str, number: int, urgency: str = "ROUTINE") -> LetterRequest:
    """An ordinary letter of about the size that the bare measurement uses."""
    return parse_request(
        {
            "type": "letter.general/1",
            "recipients": [{"agency": recipient}],
            "urgency": urgency,
            "content": {"subject": f"أعمال صيانة الطرق رقم {number}", "body": TEXT},
        }
    )


def circular(recipients: Sequence[str]) -> LetterRequest:
    today = datetime.now(KUWAIT)
    return parse_request(letters.circular(recipients, today.year, today.date().isoformat()))


def cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


class Driver:
    """The adapters of this process, by the code of their agency."""

    def __init__(self, adapters: Iterable[Adapter]) -> None:
        self._adapters = {adapter.settings.agency: adapter for adapter in adapters}

    async def carry_out(self, command: dict[str, Any]) -> dict[str, Any]:
        """Do what ``command`` says, and return its result; a command is the name of a method and its arguments."""
        before, began = cpu_seconds(), time.perf_counter()
        found = await getattr(self, command.pop("do"))(**command)
        return {**(found or {}), "seconds": time.perf_counter() - began, "cpu": cpu_seconds() - before}

    async def usage(self) -> dict[str, float]:
        """CPU of the process since it began."""
        return {"used": cpu_seconds()}

    async def send(self, pairs: list[tuple[str, str]]) -> None:
        """Accept a letter for each (sender, recipient), as fast as they come; until each has its *delivered*."""
        stored = self._stored()
        await self.accept(pairs)
        await self._until_stored(stored + len(pairs))

    async def accept(self, pairs: list[tuple[str, str]]) -> None:
        """Accept a letter for each (sender, recipient), and no more."""
        left = iter(enumerate(pairs))

        async def clerk() -> None:
            for number, (sender, recipient) in left:
                await self._adapters[sender].correspondence.send(request(recipient, number))

        await asyncio.gather(*(clerk() for _ in range(IN_FLIGHT)))

    async def circular(self, sender: str, recipients: list[str]) -> None:
        """One circular; until all have it."""
        stored = self._stored()
        await self._adapters[sender].correspondence.send(circular(recipients))
        await self._until_stored(stored + len(recipients))

    async def storm(self, sender: str, recipients: list[str], circulars: int) -> None:
        """Many circulars at once; until all have all of them."""
        stored = self._stored()
        left = iter(range(circulars))

        async def clerk() -> None:
            for _ in left:
                await self._adapters[sender].correspondence.send(circular(recipients))

        await asyncio.gather(*(clerk() for _ in range(IN_FLIGHT)))
        await self._until_stored(stored + circulars * len(recipients))

    async def pace(
        self, sender: str, recipient: str, rate: float, seconds: float, urgency: str
    ) -> dict[str, list[float]]:
        """Accept ``rate`` letters a second; milliseconds from acceptance to the stored *delivered* of each."""
        adapter = self._adapters[sender]
        tally = adapter.notices.tally
        # What earlier letters took is not ours. The sweep gives what it takes out of the tally to this method.
        tally.delivered_after_ms.clear()
        latencies: list[float] = []
        adapter.metrics.observe_delivered = latencies.extend  # type: ignore[method-assign]  # instead of the histogram
        stored = self._stored()
        began, count = time.perf_counter(), int(rate * seconds)
        for number in range(count):
            await asyncio.sleep(max(0.0, began + number / rate - time.perf_counter()))
            await adapter.correspondence.send(request(recipient, number, urgency))
        await self._until_stored(stored + count)
        latencies += tally.delivered_after_ms
        tally.delivered_after_ms.clear()
        return {"latencies_ms": latencies}

    def _stored(self) -> int:
        return sum(adapter.notices.tally.stored for adapter in self._adapters.values())

    async def _until_stored(self, receipts: int) -> None:
        while self._stored() < receipts:  # noqa: ASYNC110 - watched from outside
            await asyncio.sleep(LOOK_SECONDS)


async def run(configs: Sequence[Path]) -> None:
    logs.configure(level=30)
    clock = Clock()
    async with contextlib.AsyncExitStack() as running:
        adapters = [Adapter(read_settings(config), clock) for config in configs]
        for adapter in adapters:
            await adapter.start()
            running.push_async_callback(adapter.stop)
        for adapter in adapters:
            await adapter.session.wait_for(SessionState.READY)
        driver = Driver(adapters)
        commands = asyncio.StreamReader(limit=16 * 1024 * 1024)
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
        print(json.dumps({"ready": len(adapters)}), flush=True)
        while line := await commands.readline():
            print(json.dumps(await driver.carry_out(json.loads(line))), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, required=True, action="append")
    given = parser.parse_args()
    interpreter.prepare()
    uvloop.run(run(given.config))
