"""`tarasul authority run | dead-letters`: what it shows to who watches it, and how it ends."""

import base64
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from broker.clock import Clock
from gateway.bootstrap import hand_out_directory
from gateway.members import Members
from tests.authority.bed import AuthorityBed
from tests.coverage_of_codes import saw_code
from tests.support.adapters import TREE, AdapterProcess
from tests.support.postgres import Postgres

ESCAPE = "\x1b[31mred"


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    with Postgres() as running:
        yield running


def command(bed: AuthorityBed, *words: str) -> "subprocess.CompletedProcess[str]":
    """``tarasul authority …`` in a process of its own, with the settings of the bed's authority."""
    return subprocess.run(
        [sys.executable, "-m", "deploy.command", "authority", *words, "--config", str(bed.home / "one.toml")],
        cwd=TREE,
        env={**os.environ, "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def red(authority: AdapterProcess) -> dict[str, Any]:
    """Name and detail of every check that is red."""
    reply = authority.get("/readyz")
    found = {check["name"]: check["detail"] for check in reply.body["checks"] if not check["ok"]}
    assert reply.status == (503 if found else 200)
    assert reply.body["ready"] is (not found)
    return found


# Health, metrics, exit codes


def test_it_is_ready_shows_its_figures_and_stops_in_good_order(bed: AuthorityBed) -> None:
    authority = bed.start_authority()
    with bed.account("SAB") as sab:
        assert sab.publish("from.SAB", "ZZZ.routine", bed.letter("SAB", "ZZZ")) == "ack"
    bed.wait_audited(1)
    assert authority.get("/healthz").body == {"live": True}
    assert red(authority) == {}
    bed.until(lambda: authority.metrics()["tarasul_journal_recorded_total"] == 3, "letter, mark and answer recorded")
    exposed = authority.get("/metrics").body
    for line in (
        'tarasul_dead_letters{verdict="refused"} 1.0',
        'tarasul_duty_state{duty="journal",state="working"} 1.0',
        'tarasul_duty_state{duty="audit",state="standby"} 0.0',
        "tarasul_dead_letters_stored_total 1.0",
        "tarasul_dead_letters_judged_total 1.0",
        "tarasul_journal_gaps 0.0",
        "tarasul_store_readable 1.0",
    ):
        assert line in exposed.splitlines()
    authority.terminate()
    assert authority.wait_stopped() == 0, authority.tail()


def test_two_processes_on_one_port_the_second_is_refused(bed: AuthorityBed) -> None:
    bed.start_authority()
    second = command(bed, "run")
    assert second.returncode == 1
    assert "[api_address_unusable]" in second.stderr
    saw_code("api_address_unusable")


@pytest.mark.parametrize(
    ("old", "new", "code", "said", "ends_with"),
    [
        ("port = ", "prot = ", "settings_invalid", "watch.prot", 1),
        ("[watch]\nport = ", "[watch]\nport = 9", "settings_invalid", "watch.port", 1),
        ('store = "authority.db"', 'store = "missing/authority.db"', "store_unavailable", "store", 3),
        ('store = "authority.db"', 'directory_file = "no.jws"', "directory_unreadable", "no.jws", 3),
        ('store = "authority.db"', 'keys = "nokeys"', "key_unreadable", "receipts.key", 1),
    ],
)
def test_settings_that_cannot_be_used_are_refused_by_name(
    bed: AuthorityBed, old: str, new: str, code: str, said: str, ends_with: int
) -> None:
    bed.start_authority().kill()
    settings = bed.home / "one.toml"
    text = settings.read_text("utf-8")
    assert old in text
    settings.write_text(text.replace(old, new), "utf-8")
    ended = command(bed, "run")
    assert ended.returncode == ends_with
    assert f"[{code}]" in ended.stderr
    assert said in ended.stderr


# Each check red for its cause


def test_a_broker_that_is_away_is_red_and_comes_back(bed: AuthorityBed) -> None:
    authority = bed.start_authority()
    bed.node.stop()
    try:
        bed.until(lambda: set(red(authority)) == {"journal", "audit"}, "both red")
        assert all(detail.startswith("connecting: ") for detail in red(authority).values())
        assert authority.get("/healthz").status == 200
    finally:
        bed.node.start()
    authority.wait_ready()


def test_a_gap_of_the_journal_is_red_until_somebody_has_acknowledged_it(bed: AuthorityBed) -> None:
    authority = bed.start_authority()
    with bed.account("MPW") as mpw:
        assert mpw.publish("from.MPW", "MOF.routine", bed.letter("MPW", "MOF")) == "ack"
    bed.until(lambda: bed.count("journal") == 1, "recorded")
    authority.kill()
    bed.remake_journal({})
    with bed.account("MPW") as mpw:
        assert mpw.publish("from.MPW", "MOF.routine", bed.letter("MPW", "MOF")) == "ack"
    authority = bed.begin_authority().wait_answering()
    bed.until(lambda: red(authority) == {"journal_gaps": "1 to be looked at"}, "red for this alone")
    [gap] = json.loads(command(bed, "journal", "gaps", "--json").stdout)["items"]
    word = ("--by", "Noura", "--reason", "the test made it anew")
    done = command(bed, "journal", "acknowledge-gap", str(gap["seq"]), *word)
    assert done.returncode == 0, done.stderr
    assert red(authority) == {}
    figures = authority.metrics()
    assert (figures["tarasul_journal_gaps"], figures["tarasul_journal_gaps_unacknowledged"]) == (1, 0)
    assert bed.count("journal_gaps") == 1


def test_a_dead_letter_that_waits_for_the_journal_too_long_is_red_until_that_is_read(bed: AuthorityBed) -> None:
    """The journal knows nothing of it, as its stream was made anew in between."""
    letter = bed.letter("MPW", "MOF")
    with bed.account("MPW") as mpw:
        assert mpw.publish("from.MPW", "MOF.routine", letter, expiration="1") == "ack"
    bed.until(lambda: bed.ready_messages("dead-letter") == 1, "expired")
    bed.remake_journal({})
    authority = bed.start_authority()
    bed.until(lambda: bed.verdicts() == [("waiting", "publisher_unknown")], "waiting")
    assert red(authority) == {}
    authority.terminate()
    assert authority.wait_stopped() == 0
    authority = bed.begin_authority(clock_offset=120).wait_answering()
    because = {"dead_letters_judged": "1 dead letters wait for the journal"}
    bed.until(lambda: red(authority) == because, "red for this alone")
    # MPW's adapter publishes its open letter again; now the journal knows it.
    with bed.account("MPW") as mpw:
        assert mpw.publish("from.MPW", "MOF.routine", letter) == "ack"
    bed.until(lambda: bed.verdicts() == [("held", "dead_lettered")], "judged")
    bed.until(lambda: red(authority) == {}, "green")


def test_what_the_journal_has_not_known_for_a_day_is_filed(bed: AuthorityBed) -> None:
    with bed.account("MPW") as mpw:
        assert mpw.publish("from.MPW", "MOF.routine", bed.letter("MPW", "MOF"), expiration="1") == "ack"
    bed.until(lambda: bed.ready_messages("dead-letter") == 1, "expired")
    bed.remake_journal({})
    authority = bed.start_authority()
    bed.until(lambda: bed.verdicts() == [("waiting", "publisher_unknown")], "waiting")
    authority.kill()
    bed.begin_authority(clock_offset=25 * 3600)
    bed.until(lambda: bed.verdicts() == [("filed", "publisher_unknown")], "filed")
    assert bed.count("answers") == 0


def test_a_directory_that_is_no_directory_is_red_and_the_old_one_counts(bed: AuthorityBed) -> None:
    authority = bed.start_authority()
    file = bed.home / "directory.jws"
    genuine = file.read_bytes()
    try:
        file.write_bytes(b"no directory")
        bed.until(lambda: set(red(authority)) == {"directory"}, "red")
        assert "version 1, current, " in red(authority)["directory"]
        with bed.account("SAB") as sab:
            assert sab.publish("from.SAB", "ZZZ.routine", bed.letter("SAB", "ZZZ")) == "ack"
        bed.wait_audited(1)
    finally:
        file.write_bytes(genuine)
    bed.until(lambda: red(authority) == {}, "green")


def test_a_new_version_of_the_directory_counts_at_once(bed: AuthorityBed) -> None:
    authority = bed.start_authority()
    kept = {file: file.read_bytes() for file in (bed.home / "directory.jws", bed.home / "members.json")}
    try:
        with Members.held(bed.folder) as members:
            members.sign_next(Clock().now())
        bed.until(
            lambda: any(c["detail"] == "version 2, current" for c in authority.get("/readyz").body["checks"]),
            "version 2",
        )
        authority.wait_ready()
    finally:
        for file, content in kept.items():
            file.write_bytes(content)
        hand_out_directory(bed.folder)


def test_an_older_directory_that_was_put_back_is_refused_by_a_process_that_starts(bed: AuthorityBed) -> None:
    kept = {file: file.read_bytes() for file in (bed.home / "directory.jws", bed.home / "members.json")}
    try:
        with Members.held(bed.folder) as members:
            members.sign_next(Clock().now())
        bed.start_authority()
        noted = "SELECT value FROM meta WHERE name = 'directory_newest'"
        bed.until(lambda: [str(value).split()[0] for (value,) in bed.store(noted)] == ["2"], "version 2 noted")
        bed.authority().kill()
        (bed.home / "directory.jws").write_bytes(kept[bed.home / "directory.jws"])
        ended = command(bed, "run")
        assert ended.returncode == 1
        assert ended.stderr.count("[directory_rolled_back]") == 2
    finally:
        for file, content in kept.items():
            file.write_bytes(content)


def test_what_the_store_does_not_take_is_put_apart_and_stops_nothing(bed: AuthorityBed) -> None:
    """A trigger of the store's own refuses one dead letter, as a fault of the disk or of ours would."""
    bed.start_authority().kill()
    bed.change_store(
        "CREATE TRIGGER refuses BEFORE INSERT ON dead_letters WHEN new.routing_key = 'ZZY.routine'"
        " BEGIN SELECT RAISE(ABORT, 'refused'); END"
    )
    letters = {code: bed.letter("SAB", code) for code in ("ZZX", "ZZY", "ZZZ")}
    with bed.account("SAB") as sab:
        for code, letter in letters.items():
            assert sab.publish("from.SAB", f"{code}.routine", letter) == "ack"
    authority = bed.begin_authority().wait_answering()
    bed.wait_audited(2)
    assert red(authority) == {"dead_letters_readable": "0 could not be judged, 1 could not be stored"}
    [body] = (bed.home / "apart").glob("*.body")
    assert body.read_bytes() == letters["ZZY"]
    described = json.loads(body.with_suffix(".json").read_text("utf-8"))
    assert (described["queue"], described["exchange"], described["routing_key"]) == (
        "dead-letter",
        "from.SAB",
        "ZZY.routine",
    )
    for file in (bed.home / "apart").iterdir():
        file.unlink()
    bed.until(lambda: red(authority) == {}, "green once somebody has looked")


# On PostgreSQL


def test_it_works_on_postgresql_and_waits_while_that_is_away(bed: AuthorityBed, postgres: Postgres) -> None:
    place = postgres.new_database()
    authority = bed.start_authority(store=place)

    def verdicts() -> list[tuple[str, int]]:
        return postgres.rows(place, "SELECT verdict, count(*) FROM dead_letters GROUP BY 1 ORDER BY 1")

    with bed.account("SAB") as sab:
        assert sab.publish("from.SAB", "ZZZ.routine", bed.letter("SAB", "ZZZ")) == "ack"
        assert sab.publish("from.SAB", "ZZZ.routine", b"junk \0", headers={"statement": "\0"}) == "ack"
        bed.until(lambda: verdicts() == [("incident", 1), ("refused", 1)], "judged")
        postgres.stop()
        for number in range(5):
            assert sab.publish("from.SAB", "ZZZ.routine", b"junk %d" % number) == "ack"
        bed.until(lambda: "store" in red(authority), "red without its store")
        assert "tarasul_store_readable 0.0" in authority.get("/metrics").body.splitlines()
        postgres.start()
    authority.wait_ready()
    bed.until(lambda: verdicts() == [("incident", 6), ("refused", 1)], "all judged")
    # Answers whose confirm could not be written down are published again by whoever takes the duty next.
    authority.terminate()
    assert authority.wait_stopped() == 0, authority.tail()
    authority = bed.start_authority(store=place)
    waiting = "SELECT count(*) FROM answers WHERE relay_state < 2"
    bed.until(lambda: postgres.rows(place, waiting) == [(0,)], "all answered")
    recorded = "SELECT count(*), count(DISTINCT stream_offset) FROM journal WHERE publisher = 'SAB'"
    bed.until(lambda: postgres.rows(place, recorded) == [(7, 7)], "all recorded, each once")
    listed = command(bed, "dead-letters", "list", "--json")
    assert len(json.loads(listed.stdout)["items"]) == 7
    authority.terminate()
    assert authority.wait_stopped() == 0, authority.tail()


# Answers on their way


def test_an_answer_that_a_killed_process_had_claimed_is_published(bed: AuthorityBed) -> None:
    bed.start_authority().wait_ready()
    with bed.account("SAB") as sab:
        assert sab.publish("from.SAB", "ZZZ.routine", bed.letter("SAB", "ZZZ")) == "ack"
    bed.wait_audited(1)
    bed.authority().kill()
    bed.change_store("UPDATE answers SET relay_state = 1, lease_until = 9999999999999")
    bed.start_authority()
    bed.wait_audited(1)
    assert bed.ready_messages("notices.SAB") == 2
    bed.change_store("UPDATE answers SET relay_state = 1, lease_until = 1")
    bed.until(lambda: bed.ready_messages("notices.SAB") == 3, "published again once its claim had run out")


# dead-letters list, show


def test_dead_letters_are_listed_and_shown_beside_the_worker(bed: AuthorityBed) -> None:
    bed.start_authority()
    letter = bed.letter("SAB", "ZZZ")
    with bed.account("SAB") as sab:
        assert sab.publish("from.SAB", "ZZZ.routine", letter) == "ack"
        assert sab.publish("from.SAB", "ZZZ.urgent", ESCAPE.encode()) == "ack"
    bed.wait_audited(2)
    listed = json.loads(command(bed, "dead-letters", "list", "--json").stdout)
    assert [(entry["verdict"], entry["publisher"]) for entry in listed["items"]] == [
        ("incident", "SAB"),
        ("refused", "SAB"),
    ]
    assert listed["next"] is None
    first = json.loads(command(bed, "dead-letters", "list", "--limit", "1", "--json").stdout)
    rest = json.loads(command(bed, "dead-letters", "list", "--before", str(first["next"]), "--json").stdout)
    assert first["items"] + rest["items"] == listed["items"]
    refused = command(bed, "dead-letters", "list", "--verdict", "refused")
    assert refused.returncode == 0
    assert len(refused.stdout.splitlines()) == 1
    assert "SAB → ZZZ" in refused.stdout
    seq = str(listed["items"][1]["seq"])
    shown = json.loads(command(bed, "dead-letters", "show", seq, "--json").stdout)
    assert (shown["size"], shown["statement"], len(shown["answers"])) == (len(letter), None, 1)
    assert base64.b64decode(shown["body_base64"]) == letter
    words = command(bed, "dead-letters", "show", seq)
    assert "answer: " in words.stdout


def test_what_is_not_there_is_said_by_name(bed: AuthorityBed) -> None:
    bed.start_authority()
    empty = command(bed, "dead-letters", "list")
    assert (empty.returncode, empty.stdout) == (0, "لا شيء · nothing\n")
    missing = command(bed, "dead-letters", "show", "77")
    assert missing.returncode == 1
    assert "[dead_letter_not_found]" in missing.stderr
    saw_code("dead_letter_not_found")
    wrong = command(bed, "dead-letters", "list", "--verdict", "guilty")
    assert wrong.returncode == 2


def test_a_holder_that_is_stopped_for_a_while_goes_on_as_a_standby(bed: AuthorityBed) -> None:
    """The audit's lease too: the continued process neither ends nor writes."""
    one = bed.start_authority("one")
    two = bed.start_authority("two")
    one.process.send_signal(signal.SIGSTOP)
    try:
        with bed.account("SAB") as sab:
            assert sab.publish("from.SAB", "ZZZ.routine", bed.letter("SAB", "ZZZ")) == "ack"
        bed.wait_audited(1)
    finally:
        one.process.send_signal(signal.SIGCONT)
    bed.until(lambda: one.check("audit")["detail"] == "standby", "standing by")
    assert two.check("audit")["detail"] is None
    assert one.running
    assert bed.count("dead_letters") == bed.count("answers") == 1
