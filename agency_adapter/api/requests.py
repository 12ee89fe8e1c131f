"""What the API takes, besides a letter: the registry's acts, and the bounds of a listing."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from agency_adapter.correspondence import LARGEST_PAGE
from schemas.delivery import TransmissionState
from schemas.marks import AgencyCode
from schemas.reasons import ReturnReason
from schemas.text import PlainLine, RunningText

Note = Annotated[RunningText, Field(max_length=500)]
IdempotencyKey = Annotated[str, Field(pattern=r"^[!-~]{1,128}$")]

InboxState = Literal["received", "awaiting_attachments", "registered", "returned"]


class _Request(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class RegistrationRequest(_Request):
    """A clerk's entry of an arrived letter."""

    registered_by: Annotated[PlainLine, Field(description="Post or user of the clerk, as the agency names it.")]
    incoming_no: Annotated[
        PlainLine | None, Field(description="The agency's own number; without it the adapter gives one.")
    ] = None
    unit: Annotated[PlainLine | None, Field(description="Organisational unit to which the letter goes.")] = None
    sender: Annotated[AgencyCode | None, Field(description="Needed when letters of two agencies bear the same id.")] = (
        None
    )


class ReturnRequest(_Request):
    """A clerk's return of an arrived letter to its sender."""

    returned_by: Annotated[PlainLine, Field(description="Post or user of the clerk, as the agency names it.")]
    reason: ReturnReason
    note: Annotated[Note | None, Field(description="A word to the sender.")] = None
    sender: Annotated[AgencyCode | None, Field(description="Needed when letters of two agencies bear the same id.")] = (
        None
    )


class SenderChoice(_Request):
    """Which of several letters with one id: agencies choose ids by themselves, and one may use another's."""

    sender: Annotated[
        AgencyCode | None,
        Field(description="Whose letter; unless given our own, else the one that arrived."),
    ] = None


class Listing(_Request):
    """Which part of a listing. ``cursor`` is the ``next`` of the part before."""

    cursor: Annotated[str | None, Field(min_length=1, max_length=64)] = None
    limit: Annotated[int, Field(ge=1, le=LARGEST_PAGE)] = 50


class OutboxListing(Listing):
    state: Annotated[TransmissionState | None, Field(description="Only letters with a transmission in this state.")] = (
        None
    )


class InboxListing(Listing):
    state: Annotated[InboxState | None, Field(description="Only letters in this state.")] = None


class YearChoice(_Request):
    year: Annotated[int | None, Field(ge=1990, le=2200, description="This year unless given.")] = None
