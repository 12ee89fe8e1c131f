"""What the fault tests add to a :class:`tests.support.adapters.Bed`: load, a look into the broker, and its repair."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from broker.management import path
from broker.names import VHOST
from broker.topology import TRIAL_SIZES, build_topology
from tests.support.adapters import Bed, eventually, send_until_answered
from tests.support.raw_client import RawClient

SENDERS = 4
"""Threads that send side by side."""

ALARMS: Mapping[str, tuple[Sequence[str], Sequence[str]]] = {
    "memory": (
        ("set_vm_memory_high_watermark", "absolute", "1"),
        ("set_vm_memory_high_watermark", "absolute", "1024MiB"),
    ),
    "disk": (("set_disk_free_limit", "1000000GB"), ("set_disk_free_limit", "256MB")),
}
"""What raises each alarm that stops publishers, and what ends it."""

NARROW = "narrow"
UNTIL_THE_END_SECONDS = 20 * 60
"""Further ahead than any first repetition: 15 minutes and a quarter of it for jitter."""


@dataclass
class FaultBed(Bed):
    """See the module's docstring."""

    _alarm: str | None = None

    def restore(self) -> None:
        """Undo whatever a test did to broker and adapters."""
        for adapter in self.adapters.values():
            adapter.kill()
        if not self.node.running:
            self.node.start()
        self.unblock_publishers()
        with self.management() as management:
            management.delete(path("policies", VHOST, NARROW))
        self.apply_topology()
        self.reset()

    # The broker

    def block_publishers(self, alarm: str) -> None:
        """Raise one of the broker's alarms: those of :data:`ALARMS`."""
        self._alarm = alarm
        self.node.ctl(*ALARMS[alarm][0])

    def unblock_publishers(self) -> None:
        if self._alarm is not None:
            self.node.ctl(*ALARMS[self._alarm][1])
            self._alarm = None

    def narrow(self, queue: str, limit: int) -> None:
        """Let ``queue`` refuse what would fill it past ``limit`` bytes."""
        definition: Mapping[str, Any] = next(
            each.definition
            for each in build_topology(self.codes, TRIAL_SIZES).policies.values()
            if each.name == "inbox-routine"
        )
        with self.management() as management:
            management.put(
                path("policies", VHOST, NARROW),
                {
                    "pattern": f"^{queue.replace('.', '[.]')}$",
                    "apply-to": "queues",
                    "priority": 10,
                    "definition": {**definition, "max-length-bytes": limit},
                },
            )

    def widen(self) -> None:
        """End :meth:`narrow`."""
        with self.management() as management:
            management.delete(path("policies", VHOST, NARROW))

    @contextlib.contextmanager
    def look(self, code: str) -> Iterator[RawClient]:
        """A connection with the account of ``code``, for exact depths of queues."""
        folder = self.agency(code)
        keys = folder / "keys"
        with RawClient(
            self.node.amqps_port,
            certificate=keys / "transport.pem",
            key=keys / "transport.key",
            authority=folder / "root.pem",
        ) as client:
            yield client

    # Load

    @contextlib.contextmanager
    def load(
        self, sender: str, to: Sequence[str], count: int, *, urgent_every: int = 2, name: str = "load"
    ) -> Iterator["list[Future[str]]"]:
        """Send ``count`` letters side by side while the block runs; at its end each has been accepted."""
        with ThreadPoolExecutor(SENDERS) as pool:
            yield [
                pool.submit(
                    send_until_answered,
                    self,
                    sender,
                    f"{name}-{number}",
                    to,
                    urgency="URGENT" if urgent_every and number % urgent_every == 0 else "ROUTINE",
                )
                for number in range(count)
            ]

    # What is waited for

    def until(self, condition: Callable[[], object], what: str) -> None:
        """Until ``condition`` is true; the failure shows the adapters' logs."""
        eventually(condition, lambda: f"{what}\n{self.tails()}")

    def wait_ready(self, *codes: str) -> None:
        for code in codes:
            self.adapter(code).wait_ready()

    def wait_state(self, sender: str, letter_id: str, recipient: str, state: str) -> None:
        """Until one transmission is in ``state``."""
        self.until(lambda: self.adapter(sender).state(letter_id, recipient) == state, f"{recipient}: {state}")

    def wait_states(self, code: str, state: str, count: int) -> None:
        """Until ``count`` transmissions of ``code`` are in ``state``."""
        self.until(lambda: self.states(code).get(state, 0) == count, f"{count} {state}")

    def wait_broker(self, code: str, problem: str) -> None:
        """Until the adapter of ``code`` says that the broker is missing, and why."""
        self.until(lambda: self.adapter(code).check("broker")["code"] == problem, problem)

    def states(self, code: str) -> dict[str, int]:
        return dict(self.adapter(code).rows("SELECT state, count(*) FROM transmissions GROUP BY state"))

    def count(self, code: str, rows: str, *arguments: object) -> int:
        """Rows of a store: ``count("MOF", "inbox")``."""
        found = self.adapter(code).rows(f"SELECT count(*) FROM {rows}", *arguments)  # noqa: S608 - from the tests
        return int(found[0][0])
