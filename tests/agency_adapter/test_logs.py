"""What an adapter logs: a JSON object a line, and in none of them anything that somebody wrote or must not read."""

import json
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

import pytest


@dataclass(frozen=True)
class Story:
    text: str
    lines: list[dict[str, Any]]
    secrets: list[str]

    def of(self, event: str) -> list[dict[str, Any]]:
        return [line for line in self.lines if line["event"] == event]


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    done = subprocess.run(
        [sys.executable, "-m", "tests.agency_adapter.loud_story", str(tmp_path_factory.mktemp("story"))],
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    return Story(done.stderr, [json.loads(line) for line in done.stderr.splitlines()], json.loads(done.stdout))


def test_every_line_is_an_object_with_time_level_event_and_agency(story: Story) -> None:
    for line in story.lines:
        assert {"timestamp", "level", "event", "agency"} <= line.keys(), line
        assert line["agency"] == "MOF"
        assert line["timestamp"].endswith("Z")


def test_no_body_subject_name_token_or_key_is_ever_logged(story: Story) -> None:
    assert len(story.secrets) > 20
    for secret in story.secrets:
        assert len(secret) > 5
        assert secret not in story.text
        assert json.dumps(secret)[1:-1] not in story.text


def test_what_happened_is_logged_by_its_code(story: Story) -> None:
    events = {line["event"] for line in story.lines}
    assert {
        "adapter_started",
        "adapter_stopped",
        "directory_refused",
        "judging_failed",
        "request_failed",
        "session_lost",
        "session_state",
        "write_failed",
    } <= events
    assert {line["code"] for line in story.of("write_failed")} == {"storage_full", "store_unavailable"}
    assert [line["code"] for line in story.of("directory_refused")] == ["token_malformed"]


def test_an_exception_is_told_by_type_and_places_alone(story: Story) -> None:
    [failed] = story.of("judging_failed")
    [told] = failed["exception"]
    assert (told["type"], set(told)) == ("ValueError", {"type", "places"})
    assert told["places"][-1].endswith("fail_on_content")
    assert failed["size"] > 0


def test_an_exception_is_told_with_what_it_came_of_and_a_refusals_code(story: Story) -> None:
    [says] = [line for line in story.of("library_says") if line["library"] == "some.library"]
    assert says["message"] == "cannot write %s"
    assert [each["type"] for each in says["exception"]] == ["Refused", "OperationalError", "OperationalError"]
    assert says["exception"][0]["code"] == "store_unavailable"


def test_libraries_and_warnings_speak_json_too(story: Story) -> None:
    said = {line["library"]: line["message"] for line in story.of("library_says")}
    assert said["asyncio"] == "Task exception was never retrieved"
    assert said["uvicorn.error"] == "Invalid HTTP request received."
    assert said["py.warnings"].endswith("RuntimeWarning: a warning of some library")
