"""The directory and the registry's numbers, for whoever writes a letter or audits the series."""

from typing import Annotated

from fastapi import APIRouter, Query

from agency_adapter.api.answers import DirectoryEntry, DirectoryListing, NumberGap, NumberGaps
from agency_adapter.api.documentation import refusals
from agency_adapter.api.letters import PARAMETERS, TheCorrespondence
from agency_adapter.api.requests import YearChoice
from agency_adapter.numbers import KUWAIT, Direction

router = APIRouter(tags=["lookups"])


@router.get("/v1/directory", summary="The agencies, as the signed directory in force names them", responses=refusals())
async def list_directory(correspondence: TheCorrespondence) -> DirectoryListing:
    directory = correspondence.directory.current
    return DirectoryListing(
        version=directory.version,
        valid_until=directory.valid_until.astimezone(KUWAIT).isoformat(timespec="seconds"),
        agencies=tuple(
            DirectoryEntry(
                code=agency.code,
                name_ar=agency.name_ar,
                name_en=agency.name_en,
                status=agency.status,
                accepted_types=tuple(sorted(agency.accepted_types)),
            )
            for agency in directory.agencies.values()
        ),
    )


@router.get(
    "/v1/numbers/{direction}/gaps",
    summary="Numbers of the adapter's series that no letter bears",
    responses=refusals(*PARAMETERS),
)
async def list_gaps(
    correspondence: TheCorrespondence, direction: Direction, choice: Annotated[YearChoice, Query()]
) -> NumberGaps:
    year = choice.year or correspondence.this_year()
    gaps = correspondence.number_gaps(direction, year)
    return NumberGaps(
        direction=direction.value,
        year=year,
        gaps=tuple(NumberGap(first=gap.first, last=gap.last, count=gap.count) for gap in gaps),
    )
