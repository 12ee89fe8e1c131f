"""An authority beside a running broker, and its commands carried out in this process."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from broker.management import Credentials, Management
from broker.node import PrivateNode
from deploy.command import run


@dataclass(frozen=True)
class Ran:
    """One command: its exit code and what it printed."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        """Standard output as the one JSON object that it must be."""
        found: dict[str, Any] = json.loads(self.out)
        return found


class Terminal:
    """Carries out ``tarasul …`` in this process."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *arguments: object) -> Ran:
        self._capsys.readouterr()
        code = run([str(argument) for argument in arguments])
        printed = self._capsys.readouterr()
        return Ran(code, printed.out, printed.err)


@dataclass(frozen=True)
class TopologyBed:
    """The authority in ``folder`` and the broker ``node`` that serves it."""

    folder: Path
    node: PrivateNode

    @property
    def config(self) -> Path:
        return self.folder / "authority" / "authority.toml"

    def management(self) -> Management:
        return Management(self.node.management_url, Credentials.read(self.node.credentials))

    def changed(self, old: str, new: str) -> Path:
        """The settings with ``old`` replaced, in another file of the same folder."""
        settings = self.config.read_text("utf-8")
        assert old in settings
        file = self.config.with_name("changed.toml")
        file.write_text(settings.replace(old, new), "utf-8")
        return file
