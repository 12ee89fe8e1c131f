"""Dead-letter statements: an adapter's signed word about its own copy of a message that it gave up on."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StrictInt, ValidationError

from schemas.marks import AgencyCode, Digest
from schemas.validation import refusal_of

_LONGEST_NAME = 255
"""AMQP's short string."""


class DeadLetterStatement(BaseModel):
    """The claims. Times are whole seconds since 1970."""

    model_config = ConfigDict(extra="allow", frozen=True)

    iss: AgencyCode
    recipient: AgencyCode
    digest: Digest
    reason: Annotated[str, Field(max_length=64)]
    stage: Annotated[str, Field(max_length=32)]
    attempts: Annotated[StrictInt, Field(ge=1)]
    exchange: Annotated[str, Field(max_length=_LONGEST_NAME)]
    routing_key: Annotated[str, Field(max_length=_LONGEST_NAME)]
    received_at: Annotated[StrictInt, Field(ge=0)]
    given_up_at: Annotated[StrictInt, Field(ge=0)]


def build_dead_letter(
    *,
    agency: str,
    recipient: str,
    digest: str,
    reason: str,
    stage: str,
    attempts: int,
    exchange: str,
    routing_key: str,
    received_at: int,
    given_up_at: int,
) -> dict[str, Any]:
    """The claims of a dead-letter statement, ready to be signed.

    Exchange and routing key are a stranger's choice: what no strict reader of the statement would take (text
    that is not NFC, controls) is written as escapes, and no more than 255 characters.
    """
    return {
        "iss": agency,
        "recipient": recipient,
        "digest": digest,
        "reason": reason,
        "stage": stage,
        "attempts": attempts,
        "exchange": _plain(exchange),
        "routing_key": _plain(routing_key),
        "received_at": received_at,
        "given_up_at": given_up_at,
    }


def _plain(text: str) -> str:
    return "".join(char if " " <= char <= "~" else ascii(char)[1:-1] for char in text)[:_LONGEST_NAME]


def parse_dead_letter(claims: dict[str, Any]) -> DeadLetterStatement:
    """Read the claims of a dead-letter statement.

    Raises:
        Refused: ``schema_invalid``.
    """
    try:
        return DeadLetterStatement.model_validate(claims)
    except ValidationError as error:
        raise refusal_of(error) from error
