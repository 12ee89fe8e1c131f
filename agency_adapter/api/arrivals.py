"""Letters in: list them, register one, return one; and what was put aside."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query

from agency_adapter.api.answers import InboxPage, IncidentPage, LetterRegistered, LetterReturned, QuarantinePage
from agency_adapter.api.bodies import Body
from agency_adapter.api.documentation import OF_BODY, OF_STORE, body, refusals
from agency_adapter.api.letters import PARAMETERS, LetterId, TheCorrespondence
from agency_adapter.api.moments import moment
from agency_adapter.api.requests import InboxListing, Listing, RegistrationRequest, ReturnRequest
from agency_adapter.registry import Registration, Return
from schemas.errors import ErrorCode

router = APIRouter(tags=["registry"])


@router.get(
    "/v1/inbox",
    summary="Letters that arrived, newest first",
    responses=refusals(ErrorCode.CURSOR_INVALID, *PARAMETERS),
)
async def list_inbox(correspondence: TheCorrespondence, listing: Annotated[InboxListing, Query()]) -> InboxPage:
    page = correspondence.inbox(cursor=listing.cursor, limit=listing.limit, state=listing.state)
    return InboxPage.model_validate(page)


@router.post(
    "/v1/inbox/{letter_id}/registration",
    status_code=201,
    summary="Register an arrived letter and tell its sender",
    responses=refusals(
        *OF_BODY,
        *OF_STORE,
        ErrorCode.LETTER_NOT_FOUND,
        ErrorCode.SENDER_AMBIGUOUS,
        ErrorCode.ALREADY_REGISTERED,
        ErrorCode.ALREADY_RETURNED,
        ErrorCode.INCOMING_NUMBER_TAKEN,
    ),
    openapi_extra=body(RegistrationRequest),
)
async def register_letter(
    correspondence: TheCorrespondence,
    letter_id: LetterId,
    request: Annotated[RegistrationRequest, Depends(Body(RegistrationRequest))],
) -> LetterRegistered:
    """A letter is registered once. The signed receipt with the number leaves after the same commit."""
    registered = await correspondence.register(
        Registration(
            letter_id=letter_id,
            registered_by=request.registered_by,
            incoming_no=request.incoming_no,
            unit=request.unit,
            sender=request.sender,
        )
    )
    return LetterRegistered(
        id=registered.letter_id,
        sender=registered.sender,
        incoming_no=registered.incoming_no,
        registered_at=moment(registered.registered_at),
    )


@router.post(
    "/v1/inbox/{letter_id}/return",
    status_code=201,
    summary="Return an arrived letter to its sender, with a reason",
    responses=refusals(
        *OF_BODY,
        *OF_STORE,
        ErrorCode.LETTER_NOT_FOUND,
        ErrorCode.SENDER_AMBIGUOUS,
        ErrorCode.ALREADY_RETURNED,
    ),
    openapi_extra=body(ReturnRequest),
)
async def return_letter(
    correspondence: TheCorrespondence,
    letter_id: LetterId,
    request: Annotated[ReturnRequest, Depends(Body(ReturnRequest))],
) -> LetterReturned:
    """A letter is returned once; a number that it was given stays with it."""
    returned = await correspondence.return_(
        Return(
            letter_id=letter_id,
            returned_by=request.returned_by,
            reason=request.reason,
            note=request.note,
            sender=request.sender,
        )
    )
    return LetterReturned(
        id=returned.letter_id,
        sender=returned.sender,
        reason=returned.reason.value,
        returned_at=moment(returned.returned_at),
    )


@router.get(
    "/v1/quarantine",
    summary="What was put aside, newest first",
    responses=refusals(ErrorCode.CURSOR_INVALID, *PARAMETERS),
)
async def list_quarantine(correspondence: TheCorrespondence, listing: Annotated[Listing, Query()]) -> QuarantinePage:
    page = correspondence.quarantine(cursor=listing.cursor, limit=listing.limit)
    return QuarantinePage.model_validate(page)


@router.get(
    "/v1/incidents",
    summary="What the authority says came through this agency's own account, newest first",
    responses=refusals(ErrorCode.CURSOR_INVALID, *PARAMETERS),
)
async def list_incidents(correspondence: TheCorrespondence, listing: Annotated[Listing, Query()]) -> IncidentPage:
    page = correspondence.incidents(cursor=listing.cursor, limit=listing.limit)
    return IncidentPage.model_validate(page)
