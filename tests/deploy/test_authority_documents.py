"""The pages for the central authority, done as they say: every block marked ``sh`` runs, in the order of the pages.

What stands in for the operator's machine: a private node for the service that systemd would start, with the
certificates and the first account that founding made, and a folder for ``/etc/rabbitmq``. Lines that begin with
``rabbitmqctl`` run on that node.
"""

import os
import re
import shlex
import shutil
import stat
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from agency_adapter.settings import read_settings
from broker.configuration import FILES
from broker.node import PrivateNode
from deploy.demo.stage import COMMAND
from gateway.bootstrap import node_tls
from gateway.settings_files import BrokerPlace, write_settings
from schemas.agencies import connected
from tests.support.adapters import eventually, free_port

TREE = Path(__file__).parents[2]
PAGES = TREE / "docs" / "authority"
ORDER = re.findall(r"^\d\. \[.*?\]\((\S+\.md)\)", (PAGES / "README.md").read_text("utf-8"), re.MULTILINE)
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)
SECONDS = 120


@dataclass(frozen=True)
class Block:
    """One block of a page; the marked ones are what a reader's shell is given."""

    page: str
    marked: bool
    text: str


def _blocks() -> Iterator[Block]:
    for page in ORDER:
        for language, text in BLOCK.findall((PAGES / page).read_text("utf-8")):
            yield Block(page, language == "sh", text)


class Operator:
    """A shell whose variables last from one block to the next, on a machine of its own."""

    def __init__(self, folder: Path, new_node: type[PrivateNode]) -> None:
        self._folder = folder
        self._new_node = new_node
        self._state = folder / "environment"
        self._state.touch()
        self._watch_port = free_port()
        self.home = folder / "authority-of-kuwait"
        self.etc = folder / "etc"
        self._node: PrivateNode | None = None
        self._readers: subprocess.Popen[bytes] | None = None

    def run(self, block: Block) -> str:
        """What it prints; a failure of any command in it is a failure of the test."""
        script = f'set -euo pipefail\n. "{self._state}"\n{block.text}\ndeclare -p -x > "{self._state}"\n'
        done = subprocess.run(
            ["/bin/bash", "-c", f"set -a\n{script}"],
            cwd=self._folder,
            env=self._environment(),
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        assert done.returncode == 0, f"{block.page}:\n{block.text}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def start_broker(self) -> None:
        """The service: on free ports, so the settings say which."""
        directory = self._folder / "node"
        directory.mkdir(mode=0o700)
        for name in ("management.json", "definitions.json"):
            shutil.copy2(self.home / "authority" / "broker" / name, directory / name)
        self._node = self._new_node(directory=directory, tls=node_tls(self.home))
        self._node.start()
        place = BrokerPlace(
            port=self._node.amqps_port,
            management=self._node.management_url,
            sizes="trial",
            disk_bytes=shutil.disk_usage(self._folder).total,
        )
        write_settings(self.home, place, {}, watch_port=self._watch_port)

    def ctl(self, line: str) -> str:
        assert self._node is not None
        return self._node.ctl(*shlex.split(line)[1:])

    def start_readers(self) -> None:
        with (self._folder / "readers.log").open("wb") as log:
            self._readers = subprocess.Popen(
                [*COMMAND, "authority", "run", "--config", self.home / "authority" / "authority.toml"],
                stderr=log,
                cwd=TREE,
            )
        ready = ["curl", "-fsS", f"http://127.0.0.1:{self._watch_port}/readyz"]
        eventually(
            lambda: subprocess.run(ready, capture_output=True, check=False).returncode == 0,
            lambda: (self._folder / "readers.log").read_text("utf-8"),
        )

    def leave(self) -> None:
        if self._readers is not None:
            self._readers.terminate()
            assert self._readers.wait(SECONDS) == 0
        if self._node is not None:
            self._node.close()

    def _environment(self) -> dict[str, str]:
        programs = self._folder / "programs"
        if not programs.exists():
            programs.mkdir()
            tarasul = programs / "tarasul"
            tarasul.write_text(f'#!/bin/sh\nPYTHONPATH="{TREE}" exec {shlex.join(COMMAND)} "$@"\n', "ascii")
            tarasul.chmod(0o755)
        return {
            "PATH": f"{programs}:{os.environ['PATH']}",
            "HOME": str(self._folder),
            "TARASUL_HOME": str(self.home),
            "BROKER_HOST": "localhost",
            "RABBITMQ_ETC": str(self.etc),
            "MEDIUM": str(self._folder),
            "WATCH_PORT": str(self._watch_port),
        }


@pytest.fixture
def operator(tmp_path: Path, new_node: type[PrivateNode]) -> Iterator[Operator]:
    somebody = Operator(tmp_path, new_node)
    try:
        yield somebody
    finally:
        somebody.leave()


def _follow(operator: Operator) -> dict[str, str]:
    """Do what the pages say; what each marked block printed, by the block."""
    said: dict[str, str] = {}
    for block in _blocks():
        if block.page == "first-day.md" and "topology plan" in block.text:
            operator.start_broker()
        if block.page == "first-day.md" and "/readyz" in block.text:
            operator.start_readers()
        if block.marked:
            said[block.text] = operator.run(block)
        elif block.page not in {"install.md", "first-day.md"}:
            for line in block.text.splitlines():
                if line.startswith("rabbitmqctl "):
                    said[line] = operator.ctl(line)
    return said


def test_whoever_does_what_the_pages_say_has_a_working_authority(operator: Operator) -> None:
    said = _follow(operator)
    assert len(said) >= 10

    def answer(words: str) -> str:
        [found] = [text for block, text in said.items() if words in block]
        return found

    assert re.search(r"([0-9A-F]{2}:){31}[0-9A-F]{2}", answer("-fingerprint"))
    assert 'tarasul_duty_state{duty="journal",state="working"} 1.0' in answer("/metrics")
    assert "inbox.MOF.urgent" in answer("list_queues")

    # What the day has left behind.
    installed = {file.name for file in operator.etc.iterdir() if file.is_file()}
    assert installed == set(FILES)
    for name in FILES:
        assert (operator.etc / name).read_text("utf-8") == (TREE / "deploy" / "rabbitmq" / name).read_text("utf-8")
    for name in ("broker.key", "definitions.json"):
        assert stat.S_IMODE((operator.etc / "tarasul" / name).stat().st_mode) == 0o600
    named = set(re.findall(r"/etc/rabbitmq/tarasul/(\S+)", (operator.etc / "rabbitmq.conf").read_text("utf-8")))
    assert {file.name for file in (operator.etc / "tarasul").iterdir()} == named
    handed = {folder.name for folder in (operator.home / "agencies").iterdir()}
    assert handed == {agency.code for agency in connected()}
    assert read_settings(operator.home / "agencies" / "MPW" / "adapter.toml").agency == "MPW"


def test_the_pages_stand_in_an_order_and_none_is_left_out() -> None:
    assert {*ORDER, "README.md"} == {page.name for page in PAGES.glob("*.md")}


def test_every_check_of_the_readers_is_explained_and_no_other() -> None:
    source = (TREE / "gateway" / "watching.py").read_text("utf-8")
    named = set(re.findall(r'"name": "([a-z_]+)"', source)) | {"journal", "log", "audit"}
    table = (PAGES / "watching.md").read_text("utf-8").partition("## What each red check means")[2].partition("##")[0]
    explained = set(re.findall(r"^\| `([a-z_]+)` \|", table, re.MULTILINE))
    assert explained == named
