"""The demonstration: it tells the whole story, balances its books, and leaves nothing behind however it ends."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from deploy.command import run
from schemas.error_codes import ErrorCode
from tests.coverage_of_codes import saw_code
from tests.deploy.playing import POWER_CUT, Played, playing
from tests.deploy.test_command import tarasul
from tests.support.adapters import eventually

CHAPTERS = [
    "the stage",
    "an official letter",
    "registration and reply",
    POWER_CUT,
    "an intruder with an agency's real account",
    "the authority's record",
    "the first letter's timeline, as its sender sees it",
    "verification offline",
    "the books",
]
FLEET_CHAPTERS = [
    *CHAPTERS[:4],
    "a circular to 51, with the authority away",
    "an intruder with an agency's real account",
    "who is not there",
    "the absent agency comes back",
    *CHAPTERS[5:],
]
STAYING = "Ctrl-C ends the demonstration"
# The story, and the starts before it, on a busy machine.
pytestmark = pytest.mark.timeout(300)


def _books(played: Played) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((played.folder / "books.json").read_text("utf-8"))
    return found


def _chapters(out: str) -> list[str]:
    return re.findall(r"^[^·\n]+ · (.+?) ─+$", out, re.MULTILINE)


def test_without_a_terminal_it_exits_0(finished: Played) -> None:
    assert finished.process.returncode == 0, finished.out


def test_the_story_has_its_chapters_in_order(finished: Played) -> None:
    assert _chapters(finished.out) == CHAPTERS


@pytest.mark.parametrize(
    "said",
    [
        "وزارة الأشغال العامة Ministry of Public Works",
        "طلب تعزيز مخصصات صيانة طريق الدائري السادس",
        "MOF/IN/2",
        "كاتب السجل العام",
        "was killed with SIGKILL",
        "All 100 are with the broker, none is delivered yet.",
        "sent:  100",
        "arrived in the inbox:  100",
        "taken by the broker:  forged, altered, replayed",
        "no letter changed, no receipt was given.",
        "قُيِّد registered",
        "\n  VERIFIED\n",
        "The books balance: every letter is accounted for.",
    ],
)
def test_the_story_says_what_happened(said: str, finished: Played) -> None:
    assert said in finished.out


def test_the_books_have_these_members_and_sums_and_no_others(finished: Played) -> None:
    books = _books(finished)
    intruders = books.pop("intruders")
    assert books == {
        "agencies": 3,
        # Three agencies, the authority, the echo agency, and the accounts of topology, audit and log.
        "broker_users": 8,
        # One letter to two, its reply, a hundred follow-ups.
        "accepted": 102,
        "transmissions": 103,
        "delivered": 103,
        "not_delivered": 0,
        "refused": 0,
        "left_over": 0,
        "twice": 0,
        "unverified": 0,
        # 103 transmissions; a receipt for each, and one of a registration.
        "journalled": 207,
        # The adapter's statements about the four hostile messages.
        "dead_letters": {"filed": 4},
        "differences": [],
        "balanced": True,
    }
    assert sorted(intruder["reason"] for intruder in intruders) == [
        "foreign_exchange",
        "signature_invalid",
        "signature_invalid",
        "token_malformed",
    ]
    for intruder in intruders:
        assert set(intruder) == {"at", "reason", "publisher", "claimed_sender", "copies", "explanation"}
        claimed = None if intruder["reason"] == "token_malformed" else "MPW"  # the poisoned one names nobody
        assert (intruder["at"], intruder["publisher"], intruder["claimed_sender"]) == ("MOF", "SAB", claimed)
        assert intruder["copies"] == 1


def test_an_earlier_demonstration_is_cleared(finished: Played) -> None:
    assert not (finished.folder / "stale").exists()


def test_its_letter_verifies_offline(finished: Played, capsys: pytest.CaptureFixture[str]) -> None:
    authority = finished.folder / "authority"
    arguments = ["--anchor", str(authority / "root.pem"), "--directory", str(authority / "directory.jws"), "--json"]
    letter = finished.folder / "letter.jws"
    assert run(["verify", str(letter), *arguments]) == 0
    verified = json.loads(capsys.readouterr().out)
    assert verified["letter"]["outgoing_no"] in finished.out
    assert verified["letter"]["digest"] in finished.out


def test_nothing_stays_when_the_story_is_over(finished: Played) -> None:
    commands = " ".join(process.command for process in finished.processes)
    for program in ("beam.smp", "epmd", "node_keeper", "agencies/MPW", "agencies/SAB"):
        assert program in commands
    assert len(finished.addresses) >= 7  # five of the broker's, and those of the adapters that run in a power cut
    assert {host for host, _ in finished.addresses} <= {"127.0.0.1", "::1"}
    assert finished.left_over() == []


def test_with_all_52_every_letter_has_its_outcome_and_stands_in_the_record(finished_fleet: Played) -> None:
    assert finished_fleet.process.returncode == 0, finished_fleet.out
    assert _chapters(finished_fleet.out) == FLEET_CHAPTERS
    books = _books(finished_fleet)
    assert books["balanced"]
    assert (books["agencies"], books["broker_users"]) == (52, 57)
    # As with three agencies, and: a circular to 51, a letter to an agency that left, one past its deadline.
    assert (books["accepted"], books["transmissions"]) == (105, 156)
    assert (books["delivered"], books["not_delivered"], books["refused"]) == (154, 1, 1)
    # Every transmission, every receipt of a recipient (the agency that left has signed none), and registrations: of
    # the first letter, and by two agencies of the circular.
    assert books["journalled"] == 156 + 155 + 1 + 2
    assert books["dead_letters"] == {"filed": 5, "refused": 1}
    for said in ("connections:  102", "50 / 51", "51 / 51", "2 / 51", "تعذّر تسليمه not delivered", "رُفِض refused"):
        assert said in finished_fleet.out
    assert finished_fleet.left_over() == []


@pytest.mark.usefixtures("rabbitmq")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_ended_in_the_middle_of_the_story_nothing_stays(number: signal.Signals, tmp_path: Path) -> None:
    with playing(tmp_path, "--few") as played:
        played.read_until(POWER_CUT)
        assert len(played.processes) >= 6
        if number is signal.SIGKILL:
            # The demonstration alone: what it started must notice by itself.
            os.kill(played.process.pid, number)
        else:
            os.killpg(played.process.pid, number)
        expected = 130 if number is signal.SIGINT else -number
        assert played.read_to_the_end() == expected, played.out
        assert "Traceback" not in played.out
        eventually(lambda: not played.left_over(), lambda: f"gone: {played.left_over()}", 30)


@pytest.mark.usefixtures("rabbitmq")
def test_interactive_it_stays_up_until_ctrl_c_and_then_balances_its_books(tmp_path: Path) -> None:
    with playing(tmp_path, "--few") as played:
        played.read_until(STAYING)
        assert len(played.processes) >= 7
        commands = re.findall(r"^\.venv/bin/tarasul (.+)$", played.out, re.MULTILINE)
        assert len(commands) == 6
        _try_all(commands)

        # Another one in the same folder must not clear this one away.
        other = tarasul("demo", "run", played.folder, "--once", "--few")
        assert other.returncode == 3
        assert other.stderr.decode().count("[node_not_started]") == 2
        assert (played.folder / "agencies" / "MPW" / "store.db").exists()

        os.killpg(played.process.pid, signal.SIGINT)
        assert played.read_to_the_end() == 0, played.out
        assert _chapters(played.out) == [*CHAPTERS[:-1], "try it yourself", CHAPTERS[-1]]
        books = _books(played)
        assert (books["accepted"], books["delivered"], books["balanced"]) == (103, 104, True)
        assert played.left_over() == []


def _try_all(commands: list[str]) -> None:
    """Everything that the demonstration proposes works as it stands there."""
    for command in commands:
        done = subprocess.run(
            ["/bin/bash", "-c", f"{Path(sys.executable).with_name('tarasul')} {command}"],
            input="نص الكتاب التجريبي",
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, (command, done.stderr)
        assert done.stdout


@pytest.mark.parametrize("kept", ["books.json", "authority/root.pem", "notes.txt"])
def test_a_folder_that_is_not_a_demonstrations_is_never_cleared(kept: str, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    (folder / kept).parent.mkdir(parents=True)
    (folder / kept).write_text("kept", "utf-8")
    refused = tarasul("demo", "run", folder, "--once")
    assert (refused.returncode, refused.stdout) == (1, b"")
    assert refused.stderr.decode().count("[already_bootstrapped]") == 2
    saw_code(ErrorCode.ALREADY_BOOTSTRAPPED)
    assert (folder / kept).read_text("utf-8") == "kept"
    assert list(tmp_path.iterdir()) == [folder]


def test_a_file_in_the_folders_place_is_kept(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("kept", "utf-8")
    refused = tarasul("demo", "run", tmp_path / "mine", "--once")
    assert refused.returncode == 1
    assert refused.stderr.decode().count("[already_bootstrapped]") == 2
    assert (tmp_path / "mine").read_text("utf-8") == "kept"


def test_a_folder_that_cannot_be_made_is_named() -> None:
    refused = tarasul("demo", "run", "/proc/demo", "--once")
    assert (refused.returncode, refused.stdout) == (1, b"")
    assert refused.stderr.decode().count("/proc/demo") == 2
    assert refused.stderr.decode().count("[file_unreadable]") == 2
