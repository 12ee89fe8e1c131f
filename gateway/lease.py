"""A lease in the authority's store: a work that only one process may do is done by whoever holds it.

The holder says so again every few seconds and in every transaction of that work; a process that was stopped for a
while (or forgotten by its machine) finds its lease taken and its transaction refused, and a standby goes on.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection, select, text, update
from sqlalchemy.exc import IntegrityError

from gateway.store.tables import leases

LASTING_MS = 8_000
RENEWED_EVERY_SECONDS = 2.0


class LeaseLost(Exception):  # noqa: N818 - not an error: another process does the work now
    """Another process holds the lease. What was about to be written has not been."""


@dataclass(frozen=True, slots=True)
class Lease:
    """One work's lease, as one process sees it.

    Attributes:
        name: of the work.
        holder: of this process; another for each start.
    """

    name: str
    holder: str = field(default_factory=lambda: secrets.token_hex(8))

    def take(self, connection: Connection) -> bool:
        """Take the lease, or hold on to it; False while another process has it."""
        now = store_now(connection)
        # One that lasts longer than any is given for is from before the store's clock was set back.
        over = ~leases.c.until.between(now, now + LASTING_MS)
        held = connection.execute(
            update(leases)
            .where(leases.c.name == self.name, (leases.c.holder == self.holder) | over)
            .values(holder=self.holder, until=now + LASTING_MS)
        ).rowcount
        if held:
            return True
        if connection.execute(select(leases.c.name).where(leases.c.name == self.name)).scalar() is not None:
            return False
        try:
            with connection.begin_nested():
                connection.execute(leases.insert().values(name=self.name, holder=self.holder, until=now + LASTING_MS))
        except IntegrityError:
            return False
        return True

    def renew(self, connection: Connection) -> bool:
        """Hold on to the lease; False when another process has it, or had it since this one took it.

        One that has run out and that nobody else has taken is still ours: what was written under it stands alone.
        """
        until = store_now(connection) + LASTING_MS
        return (
            connection.execute(
                update(leases).where(leases.c.name == self.name, leases.c.holder == self.holder).values(until=until)
            ).rowcount
            == 1
        )

    def require(self, connection: Connection) -> None:
        """Within the transaction of the work: hold on to the lease, or end the transaction.

        Raises:
            LeaseLost: another process has it, or had it meanwhile.
        """
        if not self.renew(connection):
            raise LeaseLost(self.name)

    async def renew_all(self, connection: Connection, items: Sequence[None]) -> list[bool]:
        """:meth:`renew`, as a writer runs it."""
        return [self.renew(connection)] * len(items)

    async def take_all(self, connection: Connection, items: Sequence[None]) -> list[bool]:
        """:meth:`take`, as a writer runs it."""
        return [self.take(connection)] * len(items)

    async def release(self, connection: Connection, items: Sequence[None]) -> list[None]:
        """Give the lease up, so that a standby need not wait for its end; as a writer runs it."""
        connection.execute(
            update(leases).where(leases.c.name == self.name, leases.c.holder == self.holder).values(holder="", until=0)
        )
        return [None] * len(items)


def store_now(connection: Connection) -> int:
    """Unix milliseconds on the store's clock: of all processes that compare leases there is only this one."""
    if connection.dialect.name == "sqlite":
        question = "SELECT (julianday('now') - 2440587.5) * 86400000"  # 2440587.5: 1970-01-01
    else:
        question = "SELECT extract(epoch FROM clock_timestamp()) * 1000"
    return int(connection.execute(text(question)).scalar_one())
