"""A pytest plugin: a green run of a whole selection writes its row into ``docs/tested-on.md``.

    make test RECORD=1
    make test-slow RABBITMQ=4 RECORD=1

The Makefile then sets ``TARASUL_RECORD`` to what was called. Nothing is written when a test failed, nor when the runner
was given anything besides ``-m``: such a run is not the whole. The release is the one that a node started from the same
installation reports. One row for each release and call; a later run replaces it.
"""

import os
import platform
import re
from collections.abc import Generator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from broker.management import Credentials, Management
from tests.broker_tests import node_type
from tests.support.postgres import postgres_release

DOCUMENT = Path("docs", "tested-on.md")
HEAD = "| RabbitMQ | run | tests | closing line | date | system |\n|---|---|---|---|---|---|\n"
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table.

    Attributes:
        release: of the broker, as its node reported it.
        run: what was called, such as ``make test RABBITMQ=4``.
        tests: how many passed.
        closing_line: of the runner, word for word.
        date: of the end, ISO 8601, UTC.
        system: what it ran on.
    """

    release: str
    run: str
    tests: int
    closing_line: str
    date: str
    system: str

    def __str__(self) -> str:
        cells = (self.release, f"`{self.run}`", self.tests, f"`{self.closing_line}`", self.date, self.system)
        return f"| {' | '.join(map(str, cells))} |"


def with_row(text: str, row: Row) -> str:
    """``text`` with ``row`` in its table, in the place of an earlier one of the same release and run.

    Raises:
        ValueError: the text has no such table, or more than one.
    """
    before, table, after = _parted(text)
    kept = [line for line in table if _key(line) != _key(str(row))]
    return before + "".join(f"{line}\n" for line in sorted([*kept, str(row)], key=_order)) + after


def _parted(text: str) -> tuple[str, list[str], str]:
    if text.count(HEAD) != 1:
        raise ValueError(f"{DOCUMENT} must hold its table once, with this head:\n{HEAD}")
    before, head, rest = text.partition(HEAD)
    table = re.match(r"(?:\|.*\n)*", rest)
    assert table is not None
    return before + head, table[0].splitlines(), rest[table.end() :]


def _key(line: str) -> tuple[str, str]:
    _, release, run, *_ = (cell.strip(" `") for cell in line.split("|"))
    return release, run


def _order(line: str) -> tuple[list[int], str]:
    release, run = _key(line)
    return [int(number) for number in re.findall(r"\d+", release)], run


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> Generator[None, object, object]:
    """The outermost: what others make of the run's exit status counts, and the closing line has been printed."""
    run = os.environ.get("TARASUL_RECORD")
    if not run:
        return (yield)
    reporter: pytest.TerminalReporter = session.config.pluginmanager.get_plugin("terminalreporter")
    titles = _titles(reporter)
    result = yield
    if why_not := _why_not(session):
        reporter.write_line(f"{DOCUMENT} stays as it was: {why_not}")
        return result
    release, erlang = _broker()
    row = Row(
        release,
        run,
        len(reporter.stats["passed"]),
        titles[-1],
        f"{datetime.now(UTC):%Y-%m-%d}",
        f"{platform.freedesktop_os_release()['PRETTY_NAME']}, Erlang {erlang}, Python {platform.python_version()}, "
        f"PostgreSQL {postgres_release()}",
    )
    document = session.config.rootpath / DOCUMENT
    document.write_text(with_row(document.read_text("utf-8"), row), "utf-8")
    reporter.write_line(f"{DOCUMENT}: {row}")
    return result


def _titles(reporter: pytest.TerminalReporter) -> list[str]:
    """Grows by the title of each line that the runner will print across the terminal; its closing line is the last."""
    found: list[str] = []
    write_sep = reporter.write_sep

    def noting(sep: str, title: str | None = None, fullwidth: int | None = None, **markup: bool) -> None:
        found.append(_COLOUR.sub("", title or ""))
        write_sep(sep, title, fullwidth, **markup)

    reporter.write_sep = noting  # type: ignore[method-assign] # the runner hands its closing line to nobody else
    return found


def _why_not(session: pytest.Session) -> str | None:
    given = session.config.invocation_params.args
    if session.exitstatus != pytest.ExitCode.OK:
        return "the run was not green"
    if len(given) != len(["-m", "expression"]) or given[0] != "-m" or os.environ.get("PYTEST_ADDOPTS"):
        return "the runner was given more than -m, so the run may not be whole"
    return None


def _broker() -> tuple[str, str]:
    """Releases of RabbitMQ and Erlang, as a node reports them."""
    with node_type()() as node, Management(node.management_url, Credentials.read(node.credentials)) as management:
        overview = management.get("/api/overview")
        return str(management.version()), str(overview["erlang_version"])
