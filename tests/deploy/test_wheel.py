"""The wheel: what is in it, and that it works with the locked dependencies where nothing else of the project is."""

import json
import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from broker.node import PrivateNode
from broker.node_installation import Installation
from gateway.bootstrap import node_tls
from tests.support.adapters import AdapterProcess, free_port

TREE = Path(__file__).parents[2]
# Downloads and installs some forty packages.
pytestmark = pytest.mark.timeout(600)


def _settings() -> dict[str, Any]:
    return tomllib.loads((TREE / "pyproject.toml").read_text("utf-8"))


def _rooms() -> list[str]:
    rooms: list[str] = _settings()["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert {"schemas", "trust", "broker", "agency_adapter", "gateway", "deploy"} <= set(rooms)
    return rooms


def _tracked() -> list[str]:
    git = shutil.which("git")
    assert git is not None
    listed = subprocess.run([git, "ls-files", "-z"], cwd=TREE, capture_output=True, check=True, text=True).stdout
    return [name for name in listed.split("\0") if name and (TREE / name).is_file()]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built as `make dist` does it, from the tracked files alone."""
    copy, dist = tmp_path_factory.mktemp("tree"), tmp_path_factory.mktemp("dist")
    for name in _tracked():
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(TREE / name, copy / name)
    made = subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", dist, "."],
        cwd=copy,
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stdout + made.stderr
    [found] = dist.iterdir()
    return found


@pytest.fixture(scope="module")
def contents(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if not name.endswith("/")}


def test_make_dist_builds_it_so() -> None:
    recipe = (TREE / "Makefile").read_text("utf-8").partition("\ndist:")[2].partition("\n\n")[0]
    assert "-m build --wheel --no-isolation" in recipe


@pytest.mark.parametrize(
    "name",
    [
        "schemas/agencies.csv",
        "schemas/generated/letter.schema.json",
        "schemas/generated/asyncapi.json",
        "broker/templates/rabbitmq.conf",
        "broker/templates/rabbitmq-env.conf",
        "broker/templates/enabled_plugins",
        "agency_adapter/store/migrations/env.py",
        "agency_adapter/store/migrations/script.py.mako",
        "agency_adapter/store/migrations/versions/v0001_first.py",
        "deploy/command.py",
        "gateway/command.py",
    ],
)
def test_it_holds_what_is_read_when_it_runs(name: str, contents: set[str]) -> None:
    assert name in contents


def test_it_holds_the_tracked_files_of_the_rooms_and_nothing_else(contents: set[str]) -> None:
    rooms = tuple(f"{room}/" for room in _rooms())
    own = {name for name in contents if not name.startswith("tarasul-0")}
    assert own == {name for name in _tracked() if name.startswith(rooms)}
    assert not any(name.startswith(("tests/", "benchmarks/", "docs/")) for name in own)


class Installed:
    """The wheel in a virtual environment of its own; commands run from an empty folder beside it."""

    def __init__(self, place: Path) -> None:
        self.home = place / "home"
        self.home.mkdir()
        self.programs = place / "environment" / "bin"
        # Nothing of the tree, and nothing of the environment that the tests run in.
        self.variables = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("PYTHON", "VIRTUAL_ENV", "TARASUL"))
        }

    def run(self, program: str, *arguments: object) -> str:
        """Standard output of a program of the environment, which must succeed."""
        done = subprocess.run(
            [self.programs / program, *map(str, arguments)],
            cwd=self.home,
            env=self.variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            encoding="utf-8",
            check=False,
        )
        assert done.returncode == 0, f"{program} {arguments}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def start_adapter(self, code: str, agency: Path, port: int) -> AdapterProcess:
        log = agency / "adapter.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [self.programs / "tarasul", "agency", "run", "--config", agency / "adapter.toml"],
                cwd=self.home,
                env=self.variables,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        return AdapterProcess(code, agency, port, process, log)


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    place = tmp_path_factory.mktemp("machine")
    made = Installed(place)
    subprocess.run([sys.executable, "-m", "venv", place / "environment"], check=True, env=made.variables)
    pip = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    made.run("python", *pip, "--require-hashes", "-r", TREE / "requirements" / "run.txt")
    made.run("python", *pip, "--no-deps", wheel)
    return made


def test_nothing_of_the_tree_is_what_runs_there(installed: Installed) -> None:
    for room in _rooms():
        place = Path(installed.run("python", "-c", f"import {room}; print({room}.__file__)").strip())
        assert place.is_relative_to(installed.programs.parent)


def test_the_locked_dependencies_are_all_that_it_needs(installed: Installed) -> None:
    assert "No broken requirements" in installed.run("python", "-m", "pip", "check")
    locked = {
        line.partition("==")[0]
        for line in (TREE / "requirements" / "run.txt").read_text("utf-8").splitlines()
        if "==" in line
    }
    there = {
        each["name"].lower().replace("_", "-")
        for each in json.loads(installed.run("python", "-m", "pip", "list", "--format=json"))
    }
    assert there - {"pip", "setuptools", "wheel", "tarasul"} <= locked


def test_it_tells_its_version(installed: Installed) -> None:
    assert installed.run("tarasul", "--version") == f"tarasul {_settings()['project']['version']}\n"


@pytest.fixture(scope="module")
def broker(installed: Installed, rabbitmq: Installation) -> Iterator[PrivateNode]:
    """A broker for the authority that the installed command founds in ``made``."""
    port = free_port()
    made = installed.home / "made"
    installed.run(
        "tarasul", "authority", "bootstrap", "made", "--agency", "MPW", "--agency", "MOF", "--broker-port", port
    )
    with PrivateNode(directory=made / "broker-node", tls=node_tls(made), amqps_port=port) as node:
        assert node.installation == rabbitmq
        settings = made / "authority" / "authority.toml"
        settings.write_text(
            f'[broker]\nmanagement = "{node.management_url}"\ncredentials = "{node.credentials}"\nsizes = "trial"\n',
            "utf-8",
        )
        yield node


def test_it_founds_serves_carries_and_verifies(installed: Installed, broker: PrivateNode) -> None:
    assert broker.running
    made = installed.home / "made"
    config = ("--config", made / "authority" / "authority.toml")
    installed.run("tarasul", "authority", "topology", "apply", *config)
    assert json.loads(installed.run("tarasul", "authority", "topology", "check", "--json", *config))["agrees"]

    adapters = []
    for code in ("MPW", "MOF"):
        agency, port = made / "agencies" / code, free_port()
        settings = agency / "adapter.toml"
        lines = settings.read_text("utf-8").splitlines()
        settings.write_text("\n".join(f"port = {port}" if line.startswith("port") else line for line in lines), "utf-8")
        adapters.append(installed.start_adapter(code, agency, port))
    try:
        for adapter in adapters:
            adapter.wait_ready()
            assert (adapter.folder / "store.db").exists()
        text = installed.home / "text"
        text.write_text("نص الكتاب", "utf-8")
        own = ("--config", adapters[0].folder / "adapter.toml")
        letter = json.loads(
            installed.run(
                "tarasul", "agency", "send", "--to", "MOF", "--subject", "كتاب رسمي", "--body-file", text,
                "--wait", "60", "--json", *own,
            )
        )["id"]  # fmt: skip
        assert adapters[0].state(letter, "MOF") == "delivered"
        signed = installed.home / "letter.jws"
        signed.write_text(installed.run("tarasul", "agency", "show", letter, "--jws", *own), "utf-8")
        for adapter in adapters:
            adapter.terminate()
        assert [adapter.wait_stopped() for adapter in adapters] == [0, 0]
    finally:
        for adapter in adapters:
            adapter.kill()

    # With nothing running but the command itself.
    broker.stop()
    authority = made / "authority"
    verified = installed.run(
        "tarasul", "verify", signed, "--anchor", authority / "root.pem", "--directory", authority / "directory.jws"
    )
    assert "\n  VERIFIED\n" in verified
    assert letter in verified
