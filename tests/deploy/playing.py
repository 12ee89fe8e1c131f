"""The demonstration as a process of its own, read line by line, with what it started."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from deploy.demo.stage import MARKER
from tests.support.adapters import eventually
from tests.support.processes import Process, below, listened_by, listeners, running

TREE = Path(__file__).parents[2]
POWER_CUT = "a power cut"


@dataclass
class Played:
    """A demonstration in ``place/demo``.

    Attributes:
        place: folder of the demonstration's folder and of its temporary files.
        process: ``tarasul demo run``.
        out: what it has printed so far.
        processes: what it had started when last looked at, itself among them.
        addresses: on which these listened.
    """

    place: Path
    process: "subprocess.Popen[str]"
    out: str = ""
    processes: set[Process] = field(default_factory=set)
    addresses: set[tuple[str, int]] = field(default_factory=set)

    @property
    def folder(self) -> Path:
        return self.place / "demo"

    @property
    def temporary(self) -> Path:
        return self.place / "temporary"

    def read_until(self, words: str) -> None:
        """Until a line with ``words`` has been printed; then note what runs."""
        assert self.process.stdout is not None
        while words not in self.out:
            line = self.process.stdout.readline()
            assert line, f"ended without '{words}':\n{self.out}"
            self.out += line
        self.processes = below(self.process.pid) | {p for p in running() if p.pid == self.process.pid}
        self.addresses = listened_by(self.processes)

    def read_to_the_end(self) -> int:
        """Everything else that it prints; returns its exit code."""
        assert self.process.stdout is not None
        self.out += self.process.stdout.read()
        return self.process.wait()

    def left_over(self) -> list[str]:
        """Processes, listeners and temporary files that are still there."""
        now = running()
        left = [p.command[:100] for p in now if p in self.processes or str(self.folder) in p.command]
        return (
            left
            + [f"listener {address}" for address in self.addresses & set(listeners().values())]
            + [f"temporary {each.name}" for each in self.temporary.iterdir()]
            + [f"beside {each.name}" for each in self.place.iterdir() if each not in {self.folder, self.temporary}]
        )


@contextlib.contextmanager
def playing(place: Path, *options: str) -> Iterator[Played]:
    """A demonstration, in a session of its own as from a terminal; nothing of it survives the block."""
    (place / "temporary").mkdir(exist_ok=True)
    process = subprocess.Popen(
        [sys.executable, "-m", "deploy.command", "demo", "run", str(place / "demo"), *options],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        cwd=TREE,
        env=os.environ | {"TMPDIR": str(place / "temporary")},
        start_new_session=True,
        # As at a terminal, too when whoever runs the tests has put them in the background and ignores Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - no thread is running here
    )
    with process:
        played = Played(place, process)
        try:
            yield played
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    eventually(lambda: not played.left_over(), lambda: f"gone: {played.left_over()}")


def play_once(place: Path, *options: str) -> Played:
    """The story without a terminal."""
    demo = place / "demo"
    demo.mkdir()
    (demo / MARKER).touch()
    (demo / "stale").write_text("of an earlier demonstration", "utf-8")
    with playing(place, "--once", *options) as played:
        played.read_until(POWER_CUT)
        played.read_to_the_end()
    return played
