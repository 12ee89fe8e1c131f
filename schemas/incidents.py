"""Incident notices: the authority tells an agency that something came through its account that is not authentic."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from schemas.marks import AgencyCode, Digest, Identifier
from schemas.receipts import Seconds
from schemas.validation import refusal_of


class IncidentNotice(BaseModel):
    """The claims. ``digest`` is of the offending token, or of the bytes where it was none; times are whole seconds."""

    model_config = ConfigDict(extra="allow", frozen=True)

    iss: AgencyCode
    aud: AgencyCode
    jti: Identifier
    iat: Seconds
    digest: Digest
    reason: Annotated[str, Field(max_length=64)]
    routing_key: Annotated[str, Field(max_length=255)]
    received_at: Seconds


def build_incident(
    *,
    issuer: str,
    audience: str,
    jti: str,
    issued_at: int,
    digest: str,
    reason: str,
    routing_key: str,
    received_at: int,
) -> dict[str, Any]:
    """The claims of an incident notice, ready to be signed."""
    return {
        "iss": issuer,
        "aud": audience,
        "jti": jti,
        "iat": issued_at,
        "digest": digest,
        "reason": reason,
        "routing_key": routing_key,
        "received_at": received_at,
    }


def parse_incident(claims: dict[str, Any]) -> IncidentNotice:
    """Read the claims of an incident notice.

    Raises:
        Refused: ``schema_invalid``.
    """
    try:
        return IncidentNotice.model_validate(claims)
    except ValidationError as error:
        raise refusal_of(error) from error
