"""A pytest plugin: every error code of the catalogue is raised by at least one test.

It notes the code of every :class:`~schemas.errors.Refused` that the product makes while the tests run; one that a test
makes by itself shows nothing. A code that is only seen from outside (in the answer of another process, or of the API)
is noted by the test that sees it: ``saw_code(code)``.

With ``TARASUL_ALL_CODES=1`` (``make test`` sets it for the whole suite) the run fails when a code was never raised.
Without it, or with a selection of tests, nothing is judged.
"""

import functools
import os
import sys
from collections.abc import Iterable
from types import FrameType
from typing import Any

import pytest

from schemas.error_codes import ErrorCode
from schemas.errors import Refused

_seen: set[ErrorCode] = set()


def saw_code(code: str) -> None:
    """A test has seen ``code`` in what another process answered.

    Raises:
        ValueError: there is no such code: the answer itself is wrong.
    """
    _seen.add(ErrorCode(code))


def missing_codes() -> list[ErrorCode]:
    """Codes that nothing has raised so far, in the order of the catalogue."""
    return [code for code in ErrorCode if code not in _seen]


def pytest_configure() -> None:
    made = Refused.__init__
    if hasattr(made, "__wrapped__"):
        return

    @functools.wraps(made)
    def note(self: Refused, code: ErrorCode, **details: Any) -> None:
        if not _made_by_a_test(sys._getframe(1)):
            _seen.add(code)
        made(self, code, **details)

    Refused.__init__ = note  # type: ignore[method-assign] # that is what this plugin is for


def _made_by_a_test(frame: FrameType) -> bool:
    return str(frame.f_globals.get("__name__", "")).startswith(("tests.", "test_"))


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    if os.environ.get("TARASUL_ALL_CODES") == "1" and missing_codes() and exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if os.environ.get("TARASUL_ALL_CODES") != "1":
        return
    if missing := missing_codes():
        terminalreporter.section("error codes that no test raised", red=True)
        terminalreporter.write_line(_listed(missing))
    else:
        terminalreporter.write_line(f"all {len(ErrorCode)} error codes were raised by tests")


def _listed(codes: Iterable[ErrorCode]) -> str:
    return ", ".join(codes)
