"""Outgoing and incoming numbers: one series a year in Kuwait's time, none given twice, holes listed."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agency_adapter import numbers
from agency_adapter.numbers import MOST_GAPS, Direction, Gap, written, year_of
from agency_adapter.registry import Registration
from agency_adapter.store import tables
from schemas.errors import ErrorCode, Refused
from tests.behaviour.bed import Bed, Party, instant, letters_for

NEW_YEAR = datetime(2026, 12, 31, 21, tzinfo=UTC)
"""Midnight in Kuwait."""


@pytest.fixture
async def eve(tmp_path: Path) -> AsyncIterator[Bed]:
    """A bed five minutes before the new year in Kuwait."""
    made = Bed(tmp_path, at=datetime(2026, 12, 31, 20, 55, tzinfo=UTC))
    await made.publish_directory()
    yield made
    await made.close()


@pytest.mark.parametrize(
    ("moment", "year"),
    [
        (datetime(2026, 12, 31, 20, 59, 59, 999_999, tzinfo=UTC), 2026),
        (NEW_YEAR, 2027),
        (datetime.fromisoformat("2027-01-01T02:59:59+06:00"), 2026),
        (datetime.fromisoformat("2026-12-31T16:00:00-05:00"), 2027),
    ],
)
def test_the_registry_year_is_kuwaits(moment: datetime, year: int) -> None:
    assert year_of(moment) == year


def test_numbers_are_printed_with_the_agency_the_year_and_six_digits() -> None:
    assert written("MPW", Direction.OUTGOING, 2026, 42) == "MPW/2026/000042"
    assert written("MPW", Direction.INCOMING, 2026, 1_000_000) == "MPW/IN/2026/1000000"


async def test_a_registration_that_is_refused_uses_up_no_number(mpw: Party, mof: Party) -> None:
    letter = await mpw.send("MOF")
    await mof.receive(*await letters_for("MOF", mpw))
    here, mark = mof.adapter.correspondence, mof.adapter.store.mark
    hindrance = mark.path.with_suffix(".mark-new")
    hindrance.mkdir()  # so that the mark, in which numbers are reserved, cannot be written
    for _ in range(3):
        with pytest.raises(Refused) as refused:
            await here.register(Registration(letter.letter_id, "السجل العام"))
        assert refused.value.code is ErrorCode.STORE_UNAVAILABLE
    hindrance.rmdir()
    registered = await here.register(Registration(letter.letter_id, "السجل العام"))
    assert registered.incoming_no.endswith("/000001")
    assert here.number_gaps(Direction.INCOMING) == []


async def test_at_midnight_in_kuwait_both_series_begin_again(eve: Bed) -> None:
    mpw, mof = eve.open("MPW"), eve.open("MOF")
    old = [await mpw.send("MOF") for _ in range(3)]
    await mof.receive(*await letters_for("MOF", mpw))
    here = mof.adapter.correspondence
    first = await here.register(Registration(old[0].letter_id, "السجل العام"))
    eve.clock.offset += 360
    new = await mpw.send("MOF")
    # A letter dated before midnight has last year's number; one registered after it, this year's, whenever it came.
    late = await mpw.send("MOF", issued_at=instant(datetime(2026, 12, 31, 20, 59, tzinfo=UTC)))
    second = await here.register(Registration(old[1].letter_id, "السجل العام"))
    assert [letter.outgoing_no for letter in (*old, new, late)] == [
        "MPW/2026/000001",
        "MPW/2026/000002",
        "MPW/2026/000003",
        "MPW/2027/000001",
        "MPW/2026/000004",
    ]
    assert (first.incoming_no, second.incoming_no) == ("MOF/IN/2026/000001", "MOF/IN/2027/000001")
    assert mpw.adapter.correspondence.this_year() == 2027
    assert [row.year for row in mpw.rows(tables.letters)] == [2026, 2026, 2026, 2027, 2026]


async def test_many_at_once_get_a_number_each_without_holes(mpw: Party) -> None:
    accepted = await asyncio.gather(*(mpw.send("MOF") for _ in range(60)))
    year = mpw.adapter.correspondence.this_year()
    assert sorted(letter.outgoing_no for letter in accepted) == [
        written("MPW", Direction.OUTGOING, year, sequence) for sequence in range(1, 61)
    ]
    assert mpw.adapter.correspondence.number_gaps(Direction.OUTGOING) == []


async def test_the_agencys_own_number_is_taken_once_a_year(eve: Bed) -> None:
    mpw = eve.open("MPW")
    assert (await mpw.send("MOF", outgoing_no="م.و/7")).outgoing_no == "م.و/7"
    with pytest.raises(Refused) as refused:
        await mpw.send("SAB", outgoing_no="م.و/7")
    assert (refused.value.code, refused.value.status) == (ErrorCode.OUTGOING_NUMBER_TAKEN, 409)
    assert refused.value.pointer == "/outgoing_no"
    eve.clock.offset += 360
    await mpw.send("SAB", outgoing_no="م.و/7")
    assert len(mpw.states()) == 2


async def test_of_two_at_once_with_one_own_number_one_is_refused(mpw: Party) -> None:
    answers = await asyncio.gather(*(mpw.send("MOF", outgoing_no="م.و/8") for _ in range(2)), return_exceptions=True)
    [refused] = [answer for answer in answers if isinstance(answer, Refused)]
    assert refused.code is ErrorCode.OUTGOING_NUMBER_TAKEN
    assert len(mpw.states()) == 1


async def test_numbers_of_the_series_that_the_agency_used_itself_are_passed_over_and_listed(mpw: Party) -> None:
    year = mpw.adapter.correspondence.this_year()
    names = [written("MPW", Direction.OUTGOING, year, sequence) for sequence in range(1, 7)]
    await mpw.send("MOF", outgoing_no=names[1])
    answers = await asyncio.gather(
        mpw.send("MOF", outgoing_no=names[2]), *(mpw.send("MOF") for _ in range(3)), mpw.send("MOF", outgoing_no="x")
    )
    assert [answer.outgoing_no for answer in answers] == [names[2], names[0], names[3], names[4], "x"]
    assert mpw.adapter.correspondence.number_gaps(Direction.OUTGOING) == [Gap(names[1], names[2], 2)]


async def test_incoming_numbers_of_the_agencys_own_system_are_taken_once(mpw: Party, mof: Party) -> None:
    letters = [await mpw.send("MOF") for _ in range(4)]
    await mof.receive(*await letters_for("MOF", mpw))
    here = mof.adapter.correspondence
    own = written("MOF", Direction.INCOMING, here.this_year(), 1)
    await here.register(Registration(letters[0].letter_id, "السجل العام", incoming_no=own))
    with pytest.raises(Refused) as refused:
        await here.register(Registration(letters[1].letter_id, "السجل العام", incoming_no=own))
    assert (refused.value.code, refused.value.status) == (ErrorCode.INCOMING_NUMBER_TAKEN, 409)
    registered = await asyncio.gather(
        *(here.register(Registration(letter.letter_id, "السجل العام")) for letter in letters[1:])
    )
    assert [answer.incoming_no[-6:] for answer in registered] == ["000002", "000003", "000004"]
    assert here.number_gaps(Direction.INCOMING) == [Gap(own, own, 1)]


async def test_gaps_are_named_oldest_first_and_not_without_end(mpw: Party) -> None:
    with mpw.adapter.store.engine.begin() as connection:
        for sequence in range(2, 2 * MOST_GAPS + 10, 2):
            connection.execute(
                tables.inbox.insert().values(
                    sender="MOF", letter_id=str(sequence), digest="d", type="t", subject="s", outgoing_no="n",
                    thread_id="t", role="to", lane="routine", urgency="ROUTINE", secrecy="NORMAL", issued_at=0,
                    received_at=0, state="registered", year=2026, incoming_no=str(sequence),
                    incoming_sequence=sequence, letter_jws=b"",
                )
            )  # fmt: skip
        found = numbers.gaps(connection, "MPW", Direction.INCOMING, 2026)
    assert len(found) == MOST_GAPS
    assert found[0] == Gap("MPW/IN/2026/000001", "MPW/IN/2026/000001", 1)
    assert found[-1].first == written("MPW", Direction.INCOMING, 2026, 2 * MOST_GAPS - 1)
