"""The tests' own PostgreSQL: it outlives no test run, however that ends."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.adapters import TREE, eventually
from tests.support.postgres import Postgres
from tests.support.processes import running

OWNER = """
import sys
from tests.support.postgres import Postgres
with Postgres() as postgres:
    print(postgres.folder, flush=True)
    sys.stdin.read()
"""


def processes_of(folder: Path) -> list[str]:
    """Server and keeper: both have the folder in their command line."""
    return [process.command for process in running() if str(folder) in process.command]


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_cluster_whose_owner_is_killed_leaves_no_process_and_no_folder(end: signal.Signals) -> None:
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER], cwd=TREE, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with owner:
        assert owner.stdout is not None
        folder = Path(owner.stdout.readline().strip())
        assert len(processes_of(folder)) >= 2
        owner.send_signal(end)
    eventually(lambda: not folder.exists() and not processes_of(folder), "everything gone")


def test_a_cluster_that_is_closed_leaves_nothing_even_if_it_was_stopped_before() -> None:
    with Postgres() as postgres:
        assert processes_of(postgres.folder)
        postgres.stop()
    assert not postgres.folder.exists()
    assert processes_of(postgres.folder) == []
