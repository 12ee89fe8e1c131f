"""Apart: the folder of dead letters that the store does not take, with all their bytes, until somebody has looked."""

import hashlib
import json
from pathlib import Path

import structlog

from broker.consuming import Delivery
from gateway.members import write_whole

_log = structlog.get_logger("audit")


class Apart:
    """``folder`` is made with the first one. Of each: ``NAME.body``, and ``NAME.json`` with what came with it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def keep(self, delivery: Delivery, body_digest: str, problem: str) -> None:
        """Keep one, on the disk when this returns; the same one again changes nothing.

        Raises:
            OSError: the disk does not take it either.
        """
        self._folder.mkdir(mode=0o700, exist_ok=True)
        place = hashlib.sha256(repr((delivery.queue, delivery.exchange, delivery.routing_key)).encode()).hexdigest()
        name = f"{body_digest}.{place[:8]}"
        described = {
            "queue": delivery.queue,
            "exchange": delivery.exchange,
            "routing_key": delivery.routing_key,
            "headers": repr(dict(delivery.headers)),
            "problem": problem,
        }
        write_whole(self._folder / f"{name}.body", delivery.body, 0o600)
        write_whole(self._folder / f"{name}.json", json.dumps(described).encode(), 0o600)
        _log.error("dead_letter_put_apart", name=name, problem=problem)

    def count(self) -> int:
        """How many there are; removing their files is how an operator says that they were looked at."""
        return sum(1 for _ in self._folder.glob("*.json"))
