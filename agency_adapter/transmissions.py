"""Transmissions as the relay sees them, and the clockwork that keeps each one moving *until the end*.

A confirm says that the broker and the journal have the letter, not that it was delivered. So a transmission stays
open until its terminal receipt is stored: a quarter of an hour after its confirm it is published again, unchanged,
with waits that double up to six hours, each a quarter shorter or longer at random, until it expires. Tries that the
broker refused, or that were lost with a connection, make no wait longer. If only the receipt was lost, the recipient
answers with the stored one; if the broker lost its disk, the letter travels again. The guarantee rests on the two
stores.
"""

import random
from collections.abc import Sequence

from sqlalchemy import Connection, Integer, Table, bindparam, case, cast, func, literal, select, update

from agency_adapter.store import tables
from broker.kill_points import KillPoint
from broker.outbox import CLAIMED, CONFIRMED, PENDING
from broker.publishing import Outgoing
from schemas.delivery import TransmissionState

FIRST_WAIT_MS = 15 * 60 * 1000
LONGEST_WAIT_MS = 6 * 3600 * 1000
_MOST_DOUBLINGS = 5  # 15 min · 2^5 = 8 h, cut to 6 h


class TransmissionOutbox:
    """See the module's docstring."""

    name = "letters"
    most_per_message = 1
    claimed_point = None
    published_point = KillPoint.PUBLISHED_UNCONFIRMED
    confirmed_point = KillPoint.CONFIRMED_UNMARKED

    @property
    def table(self) -> Table:
        return tables.transmissions

    def load(self, connection: Connection, keys: Sequence[int]) -> list[Outgoing]:
        rows = connection.execute(_LOAD, {"keys": keys})
        return [
            Outgoing(keys=(row[0],), routing_key=row[1], body=row[2], content_type="application/jose") for row in rows
        ]

    def confirm(self, connection: Connection, keys: Sequence[int], now: int) -> None:
        connection.execute(
            _CONFIRM,
            [{"key": key, "now": now, "jitter": _dice.randint(75, 125)} for key in keys],
        )


_dice = random.SystemRandom()
_t = tables.transmissions.c
_WAIT = (
    func.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * literal(1).bitwise_lshift(func.min(_t.confirms, _MOST_DOUBLINGS)))
    * bindparam("jitter", type_=Integer)
    / 100
)
_LOAD = (
    select(_t.seq, _t.lane, tables.letters.c.letter_jws)
    .join_from(tables.transmissions, tables.letters)
    .where(_t.seq.in_(bindparam("keys", expanding=True)))
    .order_by(_t.seq)
)
_CONFIRM = (
    update(tables.transmissions)
    # A terminal receipt may overtake the confirm: what it has closed stays closed.
    .where(_t.seq == bindparam("key"), _t.relay_state == CLAIMED)
    .values(
        relay_state=CONFIRMED,
        confirmed_at=bindparam("now", type_=Integer),
        confirms=_t.confirms + 1,
        sent_at=func.coalesce(_t.sent_at, bindparam("now", type_=Integer)),
        state=case((_t.state == TransmissionState.ACCEPTED.value, TransmissionState.SENT.value), else_=_t.state),
        due_at=cast(bindparam("now", type_=Integer) + _WAIT, Integer),
    )
)


def repeat_due(connection: Connection, now: int) -> int:
    """Make every open transmission whose wait is over pending again; returns how many.

    What has expired is left to the authority, which signs ``expired``.
    """
    return connection.execute(_REPEAT, {"now": now}).rowcount


_REPEAT = (
    update(tables.transmissions)
    .where(_t.relay_state == CONFIRMED, _t.due_at <= bindparam("now"), _t.expires_at > bindparam("now"))
    .values(relay_state=PENDING)
)
