"""The journal reader on a real stream: every message once, through kills, stops, gaps and another stream.

The authority is a process of its own; what it recorded is compared with what was published.
"""

import hashlib
import random
import signal
from collections.abc import Sequence

import pytest

from tests.authority.bed import AuthorityBed
from tests.support.adapters import AdapterProcess

LOAD = 1_200
KILLS = 5
SEGMENT = 64 * 1024


def publish(bed: AuthorityBed, bodies: Sequence[bytes], routing_key: str = "MOF.notice") -> None:
    with bed.account("MPW") as mpw:
        for body in bodies:
            assert mpw.publish("from.MPW", routing_key, body) == "ack"


def numbered(first: int, last: int, size: int = 20) -> list[bytes]:
    return [b"%06d" % number + b"x" * size for number in range(first, last)]


def recorded(bed: AuthorityBed, incarnation: int | None = None) -> list[bytes]:
    """Bodies of the rows in their order, after a look at the order itself."""
    rows = bed.store("SELECT incarnation, stream_offset, body FROM journal ORDER BY incarnation, stream_offset")
    assert len({row[:2] for row in rows}) == len(rows)
    return [bytes(body) for each, _, body in rows if incarnation in {None, each}]


def wait_recorded(bed: AuthorityBed, bodies: Sequence[bytes]) -> None:
    bed.until(lambda: bed.count("journal") >= len(bodies), f"{len(bodies)} rows")
    assert recorded(bed) == list(bodies)


def gaps(bed: AuthorityBed) -> list[tuple[object, ...]]:
    return bed.store("SELECT kind, incarnation, after_offset, first_offset FROM journal_gaps ORDER BY seq")


def position(bed: AuthorityBed) -> int:
    [(offset,)] = bed.store("SELECT stream_offset FROM journal_position ORDER BY incarnation DESC LIMIT 1")
    return int(offset)


def is_red_for_gaps(authority: AdapterProcess) -> bool:
    check = authority.check("journal_gaps")
    return (check["ok"], check["status"]) == (False, 503)


# Exactly once


def test_every_message_is_recorded_once_through_kills_at_any_moment(bed: AuthorityBed) -> None:
    """The seed is noted by pytest when the test fails; the moments are the machine's anyway."""
    bodies = numbered(0, LOAD)
    chance = random.Random(7214)  # noqa: S311 - moments of kills
    cuts = sorted(chance.sample(range(1, LOAD), KILLS))
    authority = bed.start_authority()
    for start, end in zip([0, *cuts], [*cuts, LOAD], strict=True):
        publish(bed, bodies[start:end])
        if end < LOAD:
            authority.kill()
            authority = bed.begin_authority()
    wait_recorded(bed, bodies)
    assert gaps(bed) == []
    tokens = bed.store("SELECT count(*), count(DISTINCT stream_offset) FROM journal_tokens")
    assert tokens == [(LOAD, LOAD)]


def test_two_processes_side_by_side_record_each_message_once(bed: AuthorityBed) -> None:
    one, two = bed.start_authority("one"), bed.start_authority("two")
    bodies = numbered(0, 300)
    publish(bed, bodies[:150])
    wait_recorded(bed, bodies[:150])
    states = {each.check("journal")["detail"] for each in (one, two)}
    assert states == {None, "standby"}
    one.terminate()
    assert one.wait_stopped() == 0, one.tail()
    publish(bed, bodies[150:])
    wait_recorded(bed, bodies)
    assert two.check("journal")["detail"] is None


def test_a_standby_takes_over_from_a_stopped_holder_and_that_one_writes_nothing_more(bed: AuthorityBed) -> None:
    one = bed.start_authority("one")
    two = bed.start_authority("two")
    bodies = numbered(0, 60)
    publish(bed, bodies[:20])
    wait_recorded(bed, bodies[:20])
    one.process.send_signal(signal.SIGSTOP)
    try:
        publish(bed, bodies[20:40])
        wait_recorded(bed, bodies[:40])
        assert two.check("journal")["detail"] is None
    finally:
        one.process.send_signal(signal.SIGCONT)
    publish(bed, bodies[40:])
    wait_recorded(bed, bodies)
    bed.until(lambda: one.check("journal")["detail"] == "standby", "the continued one stands by")
    assert one.running
    assert gaps(bed) == []


# Where the stream does not go on


def test_it_begins_at_the_stored_message_and_knows_it_again(bed: AuthorityBed) -> None:
    bodies = numbered(0, 20)
    authority = bed.start_authority()
    publish(bed, bodies[:10])
    wait_recorded(bed, bodies[:10])
    authority.terminate()
    assert authority.wait_stopped() == 0
    publish(bed, bodies[10:])
    bed.start_authority()
    wait_recorded(bed, bodies)
    assert gaps(bed) == []


def small_segments(bed: AuthorityBed, keep: int) -> None:
    """A stream of small segments of which the oldest are dropped; its policy counts for a stream made after it."""
    bed.remake_journal({"max-length-bytes": keep, "stream-max-segment-size-bytes": SEGMENT})


def test_offsets_that_skip_are_no_gap(bed: AuthorityBed) -> None:
    """They skip where a segment of the stream begins."""
    small_segments(bed, 100 * SEGMENT)
    authority = bed.start_authority()
    bodies = numbered(0, 100, 4_000)
    publish(bed, bodies[:50])
    wait_recorded(bed, bodies[:50])
    authority.kill()
    publish(bed, bodies[50:])
    bed.start_authority()
    wait_recorded(bed, bodies)
    assert position(bed) >= len(bodies), "an offset was passed over"
    assert gaps(bed) == []


def test_a_stream_truncated_under_a_stopped_reader_is_a_gap_and_reading_goes_on(bed: AuthorityBed) -> None:
    small_segments(bed, 2 * SEGMENT)
    authority = bed.start_authority()
    bodies = numbered(0, 400, 4_000)
    publish(bed, bodies[:10])
    wait_recorded(bed, bodies[:10])
    last = position(bed)
    authority.kill()
    publish(bed, bodies[10:])
    authority = bed.begin_authority()
    bed.until(lambda: bodies[-1] in recorded(bed), "the newest message")
    found = recorded(bed)
    assert 10 < len(found) < len(bodies)
    assert found == bodies[:10] + bodies[-(len(found) - 10) :], "all that is there, in its order"
    [(kind, incarnation, after, first)] = gaps(bed)
    assert (kind, incarnation, after) == ("truncated", 1, last)
    assert first == bed.store("SELECT min(stream_offset) FROM journal WHERE stream_offset > ?", last)[0][0]
    assert is_red_for_gaps(authority)
    publish(bed, numbered(400, 401))
    bed.until(lambda: recorded(bed)[-1].startswith(b"000400"), "the next message")
    assert len(gaps(bed)) == 1


@pytest.mark.parametrize(
    ("before", "after"), [(10, 4), (10, 10), (10, 25), (1, 1)], ids=["fewer", "same", "more", "one"]
)
def test_a_stream_made_anew_is_another_one_and_read_from_its_first_message(
    bed: AuthorityBed, before: int, after: int
) -> None:
    authority = bed.start_authority()
    old, new = numbered(0, before), numbered(1000, 1000 + after)
    publish(bed, old)
    wait_recorded(bed, old)
    last = position(bed)
    authority.kill()
    bed.remake_journal({})
    publish(bed, new)
    authority = bed.begin_authority()
    bed.until(lambda: recorded(bed, 2) == new, "the new stream")
    assert recorded(bed, 1) == old
    [(kind, incarnation, after_offset, _)] = gaps(bed)
    assert (kind, incarnation, after_offset) == ("re-created", 1, last)
    assert is_red_for_gaps(authority)


def test_an_empty_new_stream_is_found_out_without_any_message(bed: AuthorityBed) -> None:
    authority = bed.start_authority()
    publish(bed, numbered(0, 5))
    wait_recorded(bed, numbered(0, 5))
    authority.kill()
    bed.remake_journal({})
    authority = bed.begin_authority().wait_answering()
    bed.until(lambda: gaps(bed), "a gap")
    assert gaps(bed)[0][0] == "re-created"
    assert is_red_for_gaps(authority)
    publish(bed, numbered(10, 13))
    bed.until(lambda: recorded(bed, 2) == numbered(10, 13), "the new stream")
    assert len(gaps(bed)) == 1


def test_a_stream_made_anew_under_a_running_reader_loses_nothing_that_is_in_it(bed: AuthorityBed) -> None:
    bed.start_authority()
    publish(bed, numbered(0, 5))
    wait_recorded(bed, numbered(0, 5))
    bed.remake_journal({})
    publish(bed, numbered(100, 103))
    bed.until(lambda: recorded(bed, 2) == numbered(100, 103), "the new stream")
    assert [gap[0] for gap in gaps(bed)] == ["re-created"]


def test_a_member_that_chooses_headers_and_keys_stops_no_reader(bed: AuthorityBed) -> None:
    bed.start_authority()
    with bed.account("SAB") as sab:
        for number, table in enumerate((b"\x0fx-stream-offsetl\0\0\0\0\0\0\0\x01" * 2, b"\x02\xff\xfeS\0\0\0\x01a")):
            assert sab.publish_raw_headers("from.SAB", "MOF.notice", table, b"hostile %d" % number) == "ack"
        assert sab.publish("from.SAB", "MOF.notice", b"after", headers={"statement": "\u0000"}) == "ack"
    bed.until(lambda: bed.count("journal") == 3, "three rows")
    assert recorded(bed) == [b"hostile 0", b"hostile 1", b"after"]
    statement = hashlib.sha256(bytes(bed.store("SELECT statement_jws FROM journal")[2][0])).hexdigest()
    assert statement == hashlib.sha256(b"\0").hexdigest()
