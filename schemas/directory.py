"""The directory's payload: who is a member, with which keys, and who may send what."""

from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StrictInt, ValidationError

from schemas.marks import AgencyCode, Timestamp
from schemas.validation import refusal_of


class _Wire(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True)


class KeyPurpose(StrEnum):
    """What a key may be used for, and nothing else. *Seal* (ختم) signs; it never means encryption."""

    TRANSPORT = "transport"
    SEAL = "seal"
    ENVELOPE = "envelope"
    WITNESS = "witness"
    DIRECTORY = "directory"
    RECEIPTS = "receipts"
    LOG = "log"


class AgencyStatus(StrEnum):
    ACTIVE = "active"
    SUSPENDED = "suspended"
    REVOKED = "revoked"
    MERGED = "merged"


class RevocationKind(StrEnum):
    """Ordinary: replaced in good order. Compromised: nothing that it signed can be believed unseen."""

    ORDINARY = "ordinary"
    COMPROMISED = "compromised"


class KeyEntry(_Wire):
    """One key: its certificate (base64 of DER) and what counts beyond it."""

    kid: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
    purpose: Annotated[str, Field(max_length=32)]
    alg: Annotated[str, Field(max_length=32)]
    not_before: Timestamp
    not_after: Timestamp
    certificate: Annotated[str, Field(max_length=8192)]
    revoked_at: Timestamp | None = None
    revocation: RevocationKind | None = None


class AgencyRecord(_Wire):
    """One member. Empty ``accepted_types`` or ``may_send`` mean every registered type."""

    code: AgencyCode
    name_ar: Annotated[str, Field(min_length=1, max_length=200)]
    name_en: Annotated[str, Field(min_length=1, max_length=200)]
    kind: Annotated[str, Field(max_length=32)]
    status: AgencyStatus
    successor: AgencyCode | None = None
    units: Annotated[list[str], Field(max_length=500)] = []
    keys: Annotated[list[KeyEntry], Field(max_length=50)] = []
    link_style: Annotated[str, Field(max_length=32)] = "api"
    accepted_types: Annotated[list[str], Field(max_length=200)] = []
    may_send: Annotated[list[str], Field(max_length=200)] = []
    calendar: Annotated[str, Field(max_length=64)] | None = None

    def accepts(self, type_name: str) -> bool:
        """Whether letters of this type may be sent to the agency."""
        return not self.accepted_types or type_name in self.accepted_types

    def may_send_type(self, type_name: str) -> bool:
        """Whether the agency may send letters of this type; the type's own rule applies besides."""
        return not self.may_send or type_name in self.may_send


class DirectoryPayload(_Wire):
    """The whole directory.

    Attributes:
        issuers: certificates of issuing authorities, base64 of DER.
        log: the key of the authority's log, as C2SP signed-note spells a verifier key.
    """

    version: Annotated[StrictInt, Field(ge=1)]
    issued_at: Timestamp
    valid_until: Timestamp
    issuers: Annotated[list[str], Field(min_length=1, max_length=20)]
    agencies: Annotated[list[AgencyRecord], Field(max_length=2000)]
    log: Annotated[str, Field(max_length=400)] | None = None


def parse_directory(claims: dict[str, object]) -> DirectoryPayload:
    """Read a directory's payload.

    Raises:
        Refused: ``schema_invalid``.
    """
    try:
        return DirectoryPayload.model_validate(claims)
    except ValidationError as error:
        raise refusal_of(error) from error
