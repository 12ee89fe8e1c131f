"""What differs between the brokers we run on: 3.10 (Debian 12) to 4.3. Nowhere else is a version compared."""

import re
from dataclasses import dataclass
from typing import Self

from schemas.errors import ErrorCode, Refused

OLDEST = (3, 10, 8)
"""Of Debian 12. Its interface closes connections by their user's name; the earliest of 3.10 did not."""


@dataclass(frozen=True, slots=True, order=True)
class BrokerVersion:
    """A release of RabbitMQ."""

    major: int
    minor: int
    patch: int = 0

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``3.10.8`` or ``4.1.0-rc.2``.

        Raises:
            Refused: ``broker_refused`` when it is older than :data:`OLDEST` or no version at all.
        """
        match = re.match(r"(\d{1,4})\.(\d{1,4})(?:\.(\d{1,4}))?", text)
        if match is None:
            raise Refused(
                ErrorCode.BROKER_REFUSED,
                request="version",
                problem_ar=f"ليس رقم إصدار: {text[:40]}",
                problem=f"not a version: {text[:40]}",
            )
        found = cls(int(match[1]), int(match[2]), int(match[3] or 0))
        if found < cls(*OLDEST):
            raise Refused(
                ErrorCode.BROKER_REFUSED,
                request="version",
                problem_ar=f"الإصدار {found} أقدم من {cls(*OLDEST)}",
                problem=f"{found} is older than {cls(*OLDEST)}",
            )
        return found

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"

    @property
    def vhost_has_queue_type(self) -> bool:
        """A vhost can say which type a queue gets that was declared without one."""
        return self >= BrokerVersion(3, 11)

    @property
    def counts_first_delivery(self) -> bool:
        """A quorum queue's first delivery carries ``x-delivery-count`` 0; since 3.12 only later ones carry it."""
        return self < BrokerVersion(3, 12)

    @property
    def has_unlimited_delivery(self) -> bool:
        """A delivery limit of −1 exists; before 4.0 it is refused. We set 1000 on both."""
        return self >= BrokerVersion(4, 0)

    @property
    def topic_permissions_cover_cc(self) -> bool:
        """Topic permissions look at ``CC`` and ``BCC`` too; before, only at the routing key."""
        return self >= BrokerVersion(4, 0)

    @property
    def passive_declare_needs_permission(self) -> bool:
        """A passive declare asks for a permission; before, any member sees any queue's counts.

        Any permission on the queue will do; in 4.2.6 and 4.3.0 it had to be *configure*, which no agency has.
        """
        return self >= BrokerVersion(4, 2, 6)

    def vhost_metadata(self) -> dict[str, str]:
        """What a vhost is made with besides its name."""
        return {"default_queue_type": "quorum"} if self.vhost_has_queue_type else {}
