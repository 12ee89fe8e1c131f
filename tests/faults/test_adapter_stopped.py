"""An adapter that is stopped in good order, is started twice, or comes back too late."""

import subprocess
import sys
from datetime import UTC, datetime, timedelta

from tests.coverage_of_codes import saw_code
from tests.faults.bed import FaultBed
from tests.support.adapters import RUN, TREE, free_port, send_until_answered

LOAD = 150
HOUR = 3600


def test_stop_with_messages_in_flight_ends_with_0_and_loses_and_doubles_nothing(bed: FaultBed) -> None:
    bed.begin("MPW")
    bed.start("MOF")
    bed.wait_ready("MPW")
    for round_number, code in enumerate(("MOF", "MPW"), 1):
        before = bed.states("MPW").get("delivered", 0)
        with bed.load("MPW", ["MOF"], LOAD, name=f"stop-{code}"):
            bed.until(lambda before=before: bed.states("MPW").get("delivered", 0) > before + 10, "some delivered")
            bed.stop(code)
            assert bed.states("MPW").get("delivered", 0) < LOAD * round_number
            for outbox in ("transmissions", "receipts_issued"):
                assert bed.count(code, f"{outbox} WHERE relay_state = 1") == 0, "nothing is left claimed"
            bed.start(code)
    assert bed.close_books().delivered == 2 * LOAD


def test_second_adapter_on_one_store_refuses_and_the_first_goes_on(bed: FaultBed) -> None:
    bed.begin("MOF")
    first = bed.start("MPW")
    settings = first.folder / "second.toml"
    settings.write_text(
        (first.folder / "adapter.toml").read_text("utf-8").replace(f"port = {first.port}", f"port = {free_port()}"),
        "utf-8",
    )
    second = subprocess.run(
        [sys.executable, "-c", RUN, "agency", "run", "--config", settings, "--json"],
        cwd=first.folder,
        env={"PYTHONPATH": str(TREE)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert second.returncode == 3, second
    assert "store_locked" in second.stdout + second.stderr
    saw_code("store_locked")

    send_until_answered(bed, "MPW", "still-there", ["MOF"])
    assert bed.close_books().delivered == 1


def test_letter_that_expired_before_its_recipient_came_back_is_answered_late(bed: FaultBed) -> None:
    mpw = bed.start("MPW")
    soon = (datetime.now(UTC) + timedelta(seconds=HOUR)).isoformat(timespec="seconds")
    content = {"subject": "صيانة الطرق", "body": "نص"}
    reply = mpw.post("/v1/letters", {"recipients": [{"agency": "MOF"}], "content": content, "expires_at": soon}, "soon")
    assert reply.status == 202, reply
    expired = reply.body["id"]
    in_time = send_until_answered(bed, "MPW", "in-time", ["MOF"])
    bed.wait_states("MPW", "sent", 2)
    bed.stop("MPW")

    bed.begin("MPW", clock_offset=2 * HOUR)
    bed.begin("MOF", clock_offset=2 * HOUR)
    bed.wait_ready("MPW", "MOF")
    bed.wait_state("MPW", expired, "MOF", "not_delivered")
    assert bed.adapter("MPW").transmissions(expired)["MOF"]["reason"] == "late"
    bed.wait_state("MPW", in_time, "MOF", "delivered")
    books = bed.close_books()
    assert (books.delivered, books.not_delivered) == (1, 1)
    assert bed.adapter("MOF").rows("SELECT letter_id FROM inbox") == [(in_time,)]
    assert bed.adapter("MOF").rows("SELECT letter_id, reason, authentic FROM quarantine") == [(expired, "late", 1)]
