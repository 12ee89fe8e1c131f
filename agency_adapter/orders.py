"""Orders from the authority: directory announcements, acceptance proofs.

None of them is understood by this release. They are kept in the quarantine with their bytes and reported to the
authority, never dropped: an authority that is ahead of its adapters sees who is behind.
"""

from collections.abc import Sequence

from sqlalchemy import Connection

from agency_adapter.judgement import publisher_of
from agency_adapter.quarantine import Quarantine, Rejected
from broker.session import AfterAck, Delivery
from broker.writer import Writer
from schemas.reasons import IncidentReason
from trust.token import identity_of


class Orders:
    """Handler for this agency's ``orders`` queue."""

    def __init__(self, writer: Writer, quarantine: Quarantine, wake: AfterAck) -> None:
        self._writer = writer
        self._quarantine = quarantine
        self._wake = wake

    async def receive(self, batch: Sequence[Delivery]) -> AfterAck:
        """Put the batch aside; returns after the commit."""
        await self._writer.submit(
            self._commit,
            [
                Rejected(
                    delivery,
                    delivery.body,
                    IncidentReason.ORDER_NOT_SUPPORTED.value,
                    "this release understands no orders",
                    "orders",
                    authentic=False,
                    publisher=publisher_of(delivery),
                    digest=identity_of(delivery.body),
                )
                for delivery in batch
            ],
        )
        return self._wake

    async def _commit(self, connection: Connection, groups: Sequence[Sequence[Rejected]]) -> list[None]:
        await self._quarantine.keep(connection, [rejected for group in groups for rejected in group])
        return [None] * len(groups)
