"""A day in the life of an adapter, with everything that makes it log; run by test_logs.py as a process of its own.

On standard error stands what it logs, on standard output, as JSON, what must not stand there.
"""

import asyncio
import base64
import json
import logging
import sys
import warnings
from pathlib import Path
from typing import Any

from agency_adapter import incoming
from agency_adapter.api import operation
from broker import logs
from tests.support.running_adapter import ARABIC_BODY, ARABIC_SUBJECT, RunningAdapter, letter_request, running_adapter

CLERK = "كاتب السجل العام فلان"
NOTE = "ملاحظة لا تخص أحداً سوى المرسل"


def fail_on_content(delivery: Any, *_: object) -> None:
    subject, body = ARABIC_SUBJECT, delivery.body  # noqa: F841 - what a traceback could show
    raise ValueError(f"cannot judge {delivery.body!r} about {subject}")


async def fail_in_the_store(connection: Any, items: Any) -> None:
    connection.exec_driver_sql("SELECT no_such_column", ())
    raise AssertionError(items)


async def leave_a_failed_task() -> None:
    async def fail() -> None:
        raise ValueError(ARABIC_SUBJECT)

    failed = asyncio.ensure_future(fail())
    await asyncio.wait((failed,))
    del failed


def play(adapter: RunningAdapter) -> list[str]:
    """Everything an adapter meets; returns ids of the letters."""
    sent, arrived, returned = adapter.send(), adapter.arrive(), adapter.arrive()
    adapter.post(f"/v1/inbox/{arrived}/registration", {"registered_by": CLERK, "unit": NOTE})
    adapter.post(f"/v1/inbox/{returned}/return", {"returned_by": CLERK, "reason": "duplicate", "note": NOTE})
    adapter.post("/v1/letters", letter_request(surprise=ARABIC_SUBJECT))
    adapter.request("GET", "/v1/inbox", token=f"{adapter.token}-wrong")
    adapter.raw(b"NONSENSE " + adapter.token.encode() + b"\r\n\r\n")
    adapter.forge("SAB")
    with adapter.full_disk():
        adapter.post(
            "/v1/letters",
            letter_request(content={"subject": ARABIC_SUBJECT, "body": ARABIC_BODY * 300, "fields": {}}),
        )
    (adapter.config.parent / "directory.jws").write_bytes(b"no directory")
    adapter.adapter.directory.refresh()
    judge = incoming.judge_letter
    incoming.judge_letter = fail_on_content  # type: ignore[assignment] # it fails, which is the point
    adapter.arrive()
    incoming.judge_letter = judge
    moment, operation.problem_response = operation.problem_response, fail_on_content  # type: ignore[assignment] # as above
    adapter.request("GET", "/readyz", token=None)
    operation.problem_response = moment
    try:
        adapter.run(adapter.adapter.writer.submit(fail_in_the_store, ARABIC_SUBJECT))
    except Exception:
        logging.getLogger("some.library").exception("cannot write %s", ARABIC_SUBJECT)
    adapter.run(leave_a_failed_task())
    warnings.warn("a warning of some library", RuntimeWarning, stacklevel=1)
    return [sent, arrived, returned]


def secrets_of(adapter: RunningAdapter, letters: list[str]) -> list[str]:
    tokens = [adapter.get(f"/v1/letters/{letter}/jws").body.decode() for letter in letters]
    keys = [file.read_text() for file in (adapter.config.parent / "keys").glob("*.key")]
    return [
        ARABIC_SUBJECT,
        *ARABIC_BODY.splitlines(),
        CLERK,
        NOTE,
        adapter.token,
        *(part for token in tokens for part in token.split(".")[1:]),
        *(line for key in keys for line in key.splitlines() if not line.startswith("-")),
        base64.b64encode(ARABIC_SUBJECT.encode()).decode()[:40],
    ]


if __name__ == "__main__":
    logs.configure()
    logs.speak_for("MOF")
    with running_adapter(Path(sys.argv[1])) as running:
        found = secrets_of(running, play(running))
    json.dump(found, sys.stdout)
