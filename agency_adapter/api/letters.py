"""Letters out: accept one, look at one, list them."""

from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query, Request, Response

from agency_adapter import views as view
from agency_adapter.acceptance import LARGEST_REQUEST
from agency_adapter.api.answers import (
    IncomingLetter,
    LetterAccepted,
    OutboxPage,
    OutgoingLetter,
    Timeline,
    TimelineEntry,
    WholeIncomingLetter,
    WholeOutgoingLetter,
)
from agency_adapter.api.bodies import Body
from agency_adapter.api.documentation import OF_BODY, OF_STORE, answer, body, refusals
from agency_adapter.api.faults import shown
from agency_adapter.api.requests import IdempotencyKey, OutboxListing, SenderChoice
from agency_adapter.api.unknown import unknown_members
from agency_adapter.correspondence import Correspondence
from schemas.envelope import LetterRequest
from schemas.errors import ErrorCode, Refused
from schemas.identifiers import is_uuid7
from trust.token import TokenType, open_token

PARAMETERS = (ErrorCode.PARAMETER_INVALID, ErrorCode.PARAMETER_UNKNOWN)

OF_LETTER = (ErrorCode.LETTER_NOT_FOUND, ErrorCode.SENDER_AMBIGUOUS, *PARAMETERS)

router = APIRouter(tags=["letters"])


def the_correspondence(request: Request) -> Correspondence:
    """The adapter behind this application."""
    correspondence: Correspondence = request.app.state.correspondence
    return correspondence


def the_letter_id(letter_id: str) -> str:
    """The id in the path; what cannot be one is the id of no letter."""
    if not is_uuid7(letter_id):
        raise Refused(ErrorCode.LETTER_NOT_FOUND, id=shown(letter_id))
    return letter_id


TheCorrespondence = Annotated[Correspondence, Depends(the_correspondence)]
LetterId = Annotated[str, Depends(the_letter_id)]
Choice = Annotated[SenderChoice, Query()]


def the_idempotency_key(
    request: Request, key: Annotated[IdempotencyKey | None, Header(alias="Idempotency-Key")] = None
) -> str | None:
    """The header, at most once."""
    if len(request.headers.getlist("idempotency-key")) > 1:
        raise Refused(ErrorCode.IDEMPOTENCY_KEY_INVALID)
    return key


@router.post(
    "/v1/letters",
    status_code=202,
    summary="Send a letter",
    response_model=LetterAccepted,
    responses=refusals(
        *OF_BODY,
        *OF_STORE,
        ErrorCode.IDEMPOTENCY_KEY_INVALID,
        ErrorCode.IDEMPOTENCY_CONFLICT,
        ErrorCode.OUTGOING_NUMBER_TAKEN,
        ErrorCode.PAYLOAD_TOO_LARGE,
        ErrorCode.CHECKLIST_INCOMPLETE,
        ErrorCode.CIVIL_NUMBER_INVALID,
        ErrorCode.DEADLINE_OUT_OF_RANGE,
        ErrorCode.HIJRI_DATE_MISMATCH,
        ErrorCode.ISSUED_IN_FUTURE,
        ErrorCode.RECIPIENT_IS_SENDER,
        ErrorCode.RECIPIENT_TWICE,
        ErrorCode.ENCRYPTION_REQUIRED,
        ErrorCode.ATTACHMENTS_NOT_AVAILABLE,
        ErrorCode.TYPE_UNKNOWN,
        ErrorCode.RECIPIENT_UNKNOWN,
        ErrorCode.RECIPIENT_SUSPENDED,
        ErrorCode.RECIPIENT_CLOSED,
        ErrorCode.TYPE_NOT_ACCEPTED,
        ErrorCode.SENDER_NOT_ACTIVE,
        ErrorCode.SENDER_NOT_ALLOWED,
        ErrorCode.DIRECTORY_EXPIRED,
    ),
    openapi_extra=body(LetterRequest),
)
async def send_letter(
    correspondence: TheCorrespondence,
    idempotency_key: Annotated[str | None, Depends(the_idempotency_key)],
    letter: Annotated[LetterRequest, Depends(Body(LetterRequest, LARGEST_REQUEST))],
) -> Response:
    """The answer is given after the letter has been signed and committed to the disk.

    The same `Idempotency-Key` with the same content gets the same answer, marked `Idempotency-Replayed:
    true`; with other content it is refused.
    """
    accepted = await correspondence.send(letter, idempotency_key)
    given = LetterAccepted(id=accepted.letter_id, outgoing_no=accepted.outgoing_no, digest=accepted.digest)
    headers = {"Location": f"/v1/letters/{accepted.letter_id}"}
    if accepted.repeated:
        headers["Idempotency-Replayed"] = "true"
    return Response(given.model_dump_json(), status_code=202, headers=headers, media_type="application/json")


@router.get(
    "/v1/letters/{letter_id}",
    summary="A letter of either direction, with its signed content",
    responses=refusals(*OF_LETTER),
)
async def show_letter(
    correspondence: TheCorrespondence, letter_id: LetterId, choice: Choice
) -> WholeOutgoingLetter | WholeIncomingLetter:
    letter = correspondence.letter(letter_id, choice.sender)
    claims = open_token(correspondence.letter_jws(letter_id, choice.sender), TokenType.LETTER).claims()
    unknown = unknown_members(claims)
    if isinstance(letter, view.OutgoingLetter):
        outgoing = OutgoingLetter.model_validate(letter)
        return WholeOutgoingLetter(**dict(outgoing), letter=claims, not_understood=unknown)
    incoming = IncomingLetter.model_validate(letter)
    return WholeIncomingLetter(**dict(incoming), letter=claims, not_understood=unknown)


@router.get(
    "/v1/letters/{letter_id}/timeline",
    summary="Everything that is known to have happened to a letter, oldest first",
    responses=refusals(*OF_LETTER),
)
async def show_timeline(correspondence: TheCorrespondence, letter_id: LetterId, choice: Choice) -> Timeline:
    entries = correspondence.timeline(letter_id, choice.sender)
    return Timeline(id=letter_id, entries=tuple(map(TimelineEntry.model_validate, entries)))


@router.get(
    "/v1/letters/{letter_id}/jws",
    summary="The signed letter, byte for byte",
    response_class=Response,
    responses=answer("application/jose", "A compact JWS (RFC 7515)") | refusals(*OF_LETTER),
)
async def show_jws(correspondence: TheCorrespondence, letter_id: LetterId, choice: Choice) -> Response:
    """What `tarasul verify` and any JOSE library take."""
    return Response(correspondence.letter_jws(letter_id, choice.sender), media_type="application/jose")


@router.get(
    "/v1/outbox",
    summary="Letters sent, newest first",
    responses=refusals(ErrorCode.CURSOR_INVALID, *PARAMETERS),
)
async def list_outbox(correspondence: TheCorrespondence, listing: Annotated[OutboxListing, Query()]) -> OutboxPage:
    page = correspondence.outbox(cursor=listing.cursor, limit=listing.limit, state=listing.state)
    return OutboxPage.model_validate(page)
