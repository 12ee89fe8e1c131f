"""The metrics tell the truth about a story that is known to the last letter."""

import asyncio
import contextlib
import time
from datetime import timedelta

import pytest
from prometheus_client.parser import text_string_to_metric_families

from agency_adapter import metrics
from agency_adapter.registry import Registration
from tests.behaviour.bed import Bed, Party, exchange, instant, letters_for


def scrape(party: Party) -> dict[tuple[str, ...], float]:
    """Every sample by name and label values, the agency's own left out."""
    text, media_type = party.adapter.metrics.exposition()
    assert media_type.startswith("text/plain")
    found = {}
    for family in text_string_to_metric_families(text.decode()):
        for sample in family.samples:
            labels = dict(sample.labels)
            assert labels.pop("agency") == party.code
            found[sample.name, *labels.values()] = sample.value
    return found


def observe(party: Party) -> None:
    """What the clockwork does each second with the latencies."""
    party.adapter.metrics.observe_delivered(party.adapter.notices.tally.delivered_after_ms)
    party.adapter.notices.tally.delivered_after_ms.clear()


async def test_states_outcomes_and_counts_of_a_story(bed: Bed, mpw: Party, mof: Party) -> None:
    delivered = [await mpw.send("MOF") for _ in range(3)]
    await exchange(mpw, mof)
    late = await mpw.send("MOF", expires_at=instant(bed.clock.now() + timedelta(minutes=1)))
    letters = await letters_for("MOF", mpw)
    bed.clock.offset += 120
    await mof.receive(*letters, *letters)
    await mpw.receive(*await mof.receipts_out())
    await mof.adapter.correspondence.register(Registration(delivered[0].letter_id, "السجل العام"))
    await mof.receive(bed.carry("SAB", b"rubbish", "MOF.routine"))
    await mpw.send("MOF", "SAB", urgency="URGENT")
    assert late.letter_id

    at_mpw, at_mof = scrape(mpw), scrape(mof)
    assert {name[1]: value for name, value in at_mpw.items() if name[0] == "tarasul_transmissions"} == {
        "delivered": 3,
        "not_delivered": 1,
        "accepted": 2,
    }
    assert {name[1]: value for name, value in at_mof.items() if name[0] == "tarasul_inbox_letters"} == {
        "received": 2,
        "registered": 1,
    }
    assert {name[1]: value for name, value in at_mof.items() if name[0] == "tarasul_quarantined"} == {
        "late": 1,
        "token_malformed": 1,
    }
    assert at_mpw["tarasul_letters_accepted_total",] == 5
    assert at_mpw["tarasul_receipts_stored_total",] == 4
    assert at_mof["tarasul_letters_delivered_here_total",] == 3
    assert at_mof["tarasul_letters_not_delivered_here_total",] == 1
    assert at_mof["tarasul_letters_repeated_total",] == 1
    assert at_mof["tarasul_incidents_total",] == 1
    assert at_mpw["tarasul_store_commits_total",] == mpw.adapter.writer.commits > 0


async def test_depth_and_oldest_age_of_each_lane_that_waits(bed: Bed, mpw: Party) -> None:
    await mpw.send("MOF", "SAB")
    bed.clock.offset += 90
    await mpw.send("MOF")
    found = scrape(mpw)
    assert found["tarasul_outbox_waiting", "MOF.routine", "transmissions"] == 2
    assert found["tarasul_outbox_waiting", "SAB.routine", "transmissions"] == 1
    assert found["tarasul_outbox_oldest_seconds", "MOF.routine", "transmissions"] == pytest.approx(90, abs=10)
    await mpw.letters_out()
    assert not [name for name in scrape(mpw) if name[0] == "tarasul_outbox_waiting"]


async def test_the_time_from_acceptance_to_delivered(bed: Bed, mpw: Party, mof: Party) -> None:
    await mpw.send("MOF")
    letters = await letters_for("MOF", mpw)
    bed.clock.offset += 100
    await mof.receive(*letters)
    await mpw.receive(*await mof.receipts_out())
    observe(mpw)
    observe(mpw)
    found = scrape(mpw)
    assert found["tarasul_delivered_after_seconds_count",] == 1
    assert found["tarasul_delivered_after_seconds_sum",] == pytest.approx(100, abs=10)
    assert found["tarasul_delivered_after_seconds_bucket", "60.0"] == 0
    assert found["tarasul_delivered_after_seconds_bucket", "300.0"] == 1


async def test_what_was_delivered_before_its_receipt_came_twice_is_observed_once(
    bed: Bed, mpw: Party, mof: Party
) -> None:
    await mpw.send("MOF")
    await mof.receive(*await letters_for("MOF", mpw))
    receipts = await mof.receipts_out()
    await mpw.receive(*receipts)
    await mpw.receive(*receipts)
    observe(mpw)
    assert scrape(mpw)["tarasul_delivered_after_seconds_count",] == 1
    assert scrape(mpw)["tarasul_receipts_repeated_total",] == 1
    assert bed.parties


async def test_days_left_of_each_certificate(bed: Bed, mpw: Party) -> None:
    assert scrape(mpw)["tarasul_certificate_days_left", "seal"] == pytest.approx(365, abs=1)
    bed.clock.offset += timedelta(days=366).total_seconds()
    found = scrape(mpw)
    assert {name[1] for name in found if name[0] == "tarasul_certificate_days_left"} == {"seal", "transport"}
    assert found["tarasul_certificate_days_left", "transport"] < 0


async def test_the_session_is_in_one_state(mpw: Party) -> None:
    states = {name[1]: value for name, value in scrape(mpw).items() if name[0] == "tarasul_session_state"}
    assert states == {"connecting": 0, "ready": 0, "blocked": 0, "draining": 0, "down": 1}


async def test_a_loop_that_is_held_up_shows_its_lag(mpw: Party, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "LOOP_PROBE_SECONDS", 0.01)
    watch = asyncio.create_task(mpw.adapter.metrics.watch_loop())
    await asyncio.sleep(0)
    time.sleep(0.3)  # noqa: ASYNC251 - a loop that is held up is what is measured
    for _ in range(3):
        await asyncio.sleep(0)
    watch.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await watch
    assert scrape(mpw)["tarasul_loop_lag_seconds_sum",] >= 0.28
