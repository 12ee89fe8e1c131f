"""The vocabulary of letters: marks, roles, relations, and the shapes of their plain values."""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from schemas.errors import ErrorCode, Refused
from schemas.identifiers import AGENCY_CODE_PATTERN, DIGEST_PATTERN, UUID7_PATTERN

MOST_RECIPIENTS = 250
MOST_DAYS = 180
"""From issue to the last moment at which delivery counts."""

RFC3339_PATTERN = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?(Z|[+-][0-9]{2}:[0-9]{2})$"
DATE_PATTERN = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"

AgencyCode = Annotated[str, Field(pattern=AGENCY_CODE_PATTERN)]
Identifier = Annotated[str, Field(pattern=UUID7_PATTERN)]
Digest = Annotated[str, Field(pattern=DIGEST_PATTERN)]
Timestamp = Annotated[str, Field(pattern=RFC3339_PATTERN)]
IsoDate = Annotated[str, Field(pattern=DATE_PATTERN)]
RetentionClass = Annotated[str, Field(pattern=r"^R-[A-Z]{2,8}$")]


class Secrecy(StrEnum):
    NORMAL = "NORMAL"
    RESTRICTED = "RESTRICTED"
    CONFIDENTIAL = "CONFIDENTIAL"
    SECRET = "SECRET"  # noqa: S105 - a mark, not a password


class DataClass(StrEnum):
    """The three classes of decision 1/2025 of the National Cyber Security Centre."""

    PUBLIC = "PUBLIC"
    RESTRICTED = "RESTRICTED"
    SENSITIVE = "SENSITIVE"


class Urgency(StrEnum):
    ROUTINE = "ROUTINE"
    URGENT = "URGENT"
    VERY_URGENT = "VERY_URGENT"
    IMMEDIATE = "IMMEDIATE"


class Action(StrEnum):
    FOR_INFO = "FOR_INFO"
    FOR_ACTION = "FOR_ACTION"
    FOR_OPINION = "FOR_OPINION"


class RecipientRole(StrEnum):
    TO = "to"
    CC = "cc"


class Relation(StrEnum):
    REPLIES_TO = "REPLIES_TO"
    REFERS_TO = "REFERS_TO"
    REMINDS = "REMINDS"
    SUPERSEDES = "SUPERSEDES"


class Lane(StrEnum):
    """Two queues a recipient, so that no circular delays an urgent letter."""

    ROUTINE = "routine"
    URGENT = "urgent"


def lane_of(type_name: str, urgency: Urgency) -> Lane:
    """ROUTINE and every circular → routine; URGENT and above → urgent."""
    if urgency == Urgency.ROUTINE or type_name.startswith("circular/"):
        return Lane.ROUTINE
    return Lane.URGENT


def check_recipients(sender: str, agencies: list[str]) -> None:
    """An agency stands among the recipients once, and never the sender.

    Raises:
        Refused: ``recipient_twice`` or ``recipient_is_sender``.
    """
    if sender in agencies:
        pointer = f"/recipients/{agencies.index(sender)}/agency"
        raise Refused(ErrorCode.RECIPIENT_IS_SENDER, pointer=pointer, agency=sender)
    if len(set(agencies)) != len(agencies):
        at = next(i for i, agency in enumerate(agencies) if agency in agencies[:i])
        raise Refused(ErrorCode.RECIPIENT_TWICE, pointer=f"/recipients/{at}/agency", agency=agencies[at])


def check_deadline(expires_at: datetime, issued_at: datetime, pointer: str = "/expires_at") -> None:
    """The last moment of delivery lies after the issue, 180 days at most.

    Raises:
        Refused: ``deadline_out_of_range``.
    """
    if not timedelta(0) < expires_at - issued_at <= timedelta(days=MOST_DAYS):
        raise Refused(
            ErrorCode.DEADLINE_OUT_OF_RANGE,
            pointer=pointer,
            expires_at=expires_at.isoformat(),
            days=MOST_DAYS,
        )
