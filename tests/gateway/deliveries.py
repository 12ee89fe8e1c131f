"""Deliveries as the broker makes them, without a broker."""

from typing import Any

from broker.consuming import Delivery
from broker.frames import OFFSET_HEADER


def delivery(
    body: bytes,
    *,
    exchange: str = "from.MPW",
    routing_key: str = "MOF.routine",
    offset: int | None = None,
    statement: bytes | None = None,
    queue: str = "journal",
) -> Delivery:
    """One delivery; of a stream when it has an ``offset``."""
    headers: dict[str, Any] = {} if offset is None else {OFFSET_HEADER: offset}
    if statement is not None:
        headers["statement"] = statement.decode("utf-8", "surrogateescape")
    return Delivery(queue, exchange, routing_key, body, headers, "application/jose", None, redelivered=False)
