"""A request repeated under its idempotency key asks what became of it, whatever has changed since."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from schemas.errors import ErrorCode, Refused
from tests.behaviour.bed import Bed, Party, instant


async def suspend(bed: Bed, _mpw: Party) -> None:
    bed.authority.change_agency("MOF", status="suspended")
    await bed.publish_directory()


async def suspend_sender(bed: Bed, _mpw: Party) -> None:
    bed.authority.change_agency("MPW", status="suspended")
    await bed.publish_directory()


async def pass_the_deadline(bed: Bed, _mpw: Party) -> None:
    bed.clock.offset += timedelta(days=91).total_seconds()


async def let_the_directory_run_out(bed: Bed, _mpw: Party) -> None:
    bed.clock.offset += timedelta(days=45).total_seconds()


async def fill_the_disk(_bed: Bed, mpw: Party) -> None:
    mpw.adapter.room.free = lambda: 0  # type: ignore[method-assign] # a disk that is full for everybody would be too much


@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        (suspend, ErrorCode.RECIPIENT_SUSPENDED),
        (suspend_sender, ErrorCode.SENDER_NOT_ACTIVE),
        (pass_the_deadline, ErrorCode.DEADLINE_OUT_OF_RANGE),
        (let_the_directory_run_out, ErrorCode.DIRECTORY_EXPIRED),
        (fill_the_disk, ErrorCode.STORAGE_FULL),
    ],
)
async def test_a_repeated_request_gets_its_first_answer_though_it_would_be_refused_now(
    bed: Bed, mpw: Party, change: Callable[[Bed, Party], Awaitable[None]], refusal: ErrorCode
) -> None:
    deadline = instant(bed.clock.now() + timedelta(days=90))
    first = await mpw.send("MOF", key="file-4711", expires_at=deadline)
    await change(bed, mpw)
    again = await mpw.send("MOF", key="file-4711", expires_at=deadline)
    assert (again.letter_id, again.outgoing_no, again.digest) == (first.letter_id, first.outgoing_no, first.digest)
    assert (first.repeated, again.repeated) == (False, True)
    with pytest.raises(Refused) as refused:
        await mpw.send("MOF", key="file-4711", expires_at=deadline, paper_original=True)
    assert refused.value.code is ErrorCode.IDEMPOTENCY_CONFLICT
    with pytest.raises(Refused) as refused:
        await mpw.send("MOF", key="file-4712", expires_at=deadline)
    assert refused.value.code is refusal
    assert mpw.adapter.acceptance.accepted == 1


async def test_the_same_key_many_times_at_once_is_one_letter(mpw: Party) -> None:
    answers = await asyncio.gather(*(mpw.send("MOF", key="at once") for _ in range(20)))
    assert len({answer.letter_id for answer in answers}) == 1
    assert [answer.repeated for answer in answers].count(False) == 1
    assert len(mpw.states()) == 1


async def test_of_one_key_with_two_contents_at_once_one_is_a_conflict(mpw: Party) -> None:
    answers = await asyncio.gather(
        mpw.send("MOF", key="at once"), mpw.send("MOF", key="at once", paper_original=True), return_exceptions=True
    )
    [conflict] = [answer for answer in answers if isinstance(answer, Refused)]
    assert conflict.code is ErrorCode.IDEMPOTENCY_CONFLICT
    assert len(mpw.states()) == 1


async def test_a_request_that_was_refused_may_be_repeated_under_its_key(bed: Bed, mpw: Party) -> None:
    await suspend(bed, mpw)
    with pytest.raises(Refused):
        await mpw.send("MOF", key="early")
    bed.authority.change_agency("MOF", status="active")
    await bed.publish_directory()
    assert not (await mpw.send("MOF", key="early")).repeated
