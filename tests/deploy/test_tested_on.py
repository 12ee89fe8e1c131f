"""`docs/tested-on.md`: a green whole run writes its row, no other does; and no test gets a broker unasked."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from broker.node_installation import Installation
from tests.tested_on import HEAD, Row, with_row

TREE = Path(__file__).parents[2]
RUN = "make test RABBITMQ=5"
ROW = Row("4.0.5", "make test", 3, "3 passed in 1.00s", "2026-11-25", "Debian")
GREEN = """
    def test_one(): pass
    def test_two(): pass
"""
STARTS_A_NODE = """
    import pytest
    from broker.node import PrivateNode

    def test_unasked():
        PrivateNode().start()

    @pytest.fixture
    def far_away(new_node):
        return new_node

    def test_that_asks(far_away):
        pass
"""


def _run(tree: Path, tests: str, *arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """The runner, in a tree of its own with the document and ``tests``."""
    (tree / "docs").mkdir(exist_ok=True)
    (tree / "docs" / "tested-on.md").write_text(f"Before.\n\n{HEAD}\nAfter.\n", "utf-8")
    (tree / "pytest.ini").write_text("[pytest]\n", "utf-8")
    (tree / "test_it.py").write_text("\n".join(line[4:] for line in tests.splitlines()), "utf-8")
    plugins = {
        "PYTHONPATH": str(TREE),
        "PYTEST_PLUGINS": "tests.broker_tests,tests.tested_on",
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
    }
    return subprocess.run(
        [sys.executable, "-m", "pytest", *arguments],
        cwd=tree,
        env=os.environ | plugins | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def _document(tree: Path) -> str:
    return (tree / "docs" / "tested-on.md").read_text("utf-8")


def test_a_green_whole_run_writes_what_it_was_and_how_it_closed(rabbitmq: Installation, tmp_path: Path) -> None:
    done = _run(tmp_path, GREEN, "-m", "not slow", TARASUL_RECORD=RUN)

    assert done.returncode == 0, done.stdout
    before, _, row_and_after = _document(tmp_path).partition(f"| {rabbitmq.version} | `{RUN}` | 2 | `2 passed in ")
    assert before == f"Before.\n\n{HEAD}"
    seconds, _, after = row_and_after.partition("`")
    assert f" 2 passed in {seconds} ==" in done.stdout
    assert after.endswith(" |\n\nAfter.\n")


@pytest.mark.parametrize(
    ("tests", "arguments", "environment", "why"),
    [
        ("    def test_red(): assert 0", ("-m", "not slow"), {}, "not green"),
        (GREEN, ("-m", "slow"), {}, "not green"),
        (GREEN, ("-m", "not slow", "-k", "one"), {}, "may not be whole"),
        (GREEN, ("-m", "not slow", "test_it.py::test_one"), {}, "may not be whole"),
        (GREEN, ("-m", "not slow"), {"PYTEST_ADDOPTS": "-k one"}, "may not be whole"),
    ],
    ids=["red", "no tests", "a keyword", "a file", "a keyword in the environment"],
)
def test_any_other_run_leaves_the_document_and_says_why(
    tests: str, arguments: tuple[str, ...], environment: dict[str, str], why: str, tmp_path: Path
) -> None:
    done = _run(tmp_path, tests, *arguments, **environment, TARASUL_RECORD=RUN)

    assert f"docs/tested-on.md stays as it was: the run{'' if 'green' in why else 'ner'} " in done.stdout
    assert why in done.stdout
    assert _document(tmp_path) == f"Before.\n\n{HEAD}\nAfter.\n"


def test_a_run_that_was_not_asked_to_be_recorded_leaves_the_document(tmp_path: Path) -> None:
    done = _run(tmp_path, GREEN, "-m", "not slow", TARASUL_RECORD="")

    assert done.returncode == 0
    assert "tested-on" not in done.stdout
    assert _document(tmp_path) == f"Before.\n\n{HEAD}\nAfter.\n"


def test_rows_stand_in_the_order_of_releases_and_the_same_run_replaces_its_own() -> None:
    rows = [replace(ROW, release=release) for release in ("4.0.5", "3.10.8", "4.0.10")]
    rows.append(replace(ROW, run="make test-slow"))
    text = f"{HEAD}\nAfter.\n"
    for row in rows:
        text = with_row(text, row)
    newer = replace(ROW, closing_line="4 passed in 1.00s", tests=4)

    text = with_row(text, newer)

    assert text == f"{HEAD}{rows[1]}\n{newer}\n{rows[3]}\n{rows[2]}\n\nAfter.\n"


@pytest.mark.parametrize("text", ["no table", HEAD + HEAD])
def test_a_document_without_one_table_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"tested-on\.md must hold its table once"):
        with_row(text, ROW)


def test_a_test_that_starts_a_node_unasked_fails_and_one_that_asks_from_afar_is_marked(tmp_path: Path) -> None:
    done = _run(tmp_path, STARTS_A_NODE)
    assert "1 failed, 1 passed" in done.stdout
    assert "must ask for the fixture rabbitmq" in done.stdout

    marked = _run(tmp_path, STARTS_A_NODE, "-q", "-m", "broker and container", "--collect-only")
    assert marked.stdout.startswith("test_it.py::test_that_asks\n\n1/2 tests collected")
