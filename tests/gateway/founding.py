"""Founding for tests, and processes that found or sign and are killed at an exact instant of it."""

import signal
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from gateway.bootstrap import bootstrap
from gateway.members import authority_folder
from gateway.settings_files import BrokerPlace
from trust.certificates import read_certificate
from trust.directory import Directory

CODES = ("MPW", "MOF", "SAB")
NOW = datetime.now(UTC)
TREE = Path(__file__).parents[2]

# Every time the process touches a file below the folder in argv[1] counts; at the one whose number stands in argv[2]
# it is killed, as by a power cut. The hook is told before the file is touched.
_KILLED_AT = """
import os, signal, sys
from pathlib import Path
place, at = sys.argv[1], int(sys.argv[2])
touched = 0
def count(event, arguments):
    global touched
    if event in ("open", "os.mkdir", "os.rename", "os.link", "os.remove") and str(arguments[0]).startswith(place):
        touched += 1
        if touched == at:
            os.kill(os.getpid(), signal.SIGKILL)
from datetime import UTC, datetime
from gateway.bootstrap import bootstrap
from gateway.settings_files import BrokerPlace
from gateway.members import Members
folder = Path(place) / "authority-of-one"
now = datetime.now(UTC)
sys.addaudithook(count)
"""
FOUND = """
bootstrap(folder, ["MPW"], now, broker=BrokerPlace(), api_ports=[8101])
print(touched)
"""
SIGN = """
with Members.held(folder) as members:
    members.sign_next(now)
print(touched)
"""


def found(folder: Path, codes: Sequence[str] = CODES, now: datetime = NOW) -> Path:
    bootstrap(folder, codes, now, broker=BrokerPlace(), api_ports=range(8101, 8101 + len(codes)))
    return folder


def touches_when_killed_at(what: str, place: Path, number: int) -> int | None:
    """Carry out ``what`` on ``place/authority-of-one`` in a process of its own, killed before its ``number``-th touch.

    Returns:
        How often it touched a file, when it came to its end; None when it was killed.
    """
    done = subprocess.run(
        [sys.executable, "-c", _KILLED_AT + what, str(place), str(number)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        cwd=TREE,
    )
    assert done.returncode in {0, -signal.SIGKILL}, done.stderr
    return int(done.stdout) if done.returncode == 0 else None


def opened_directory(folder: Path, now: datetime | None = None) -> Directory:
    """The directory as an adapter opens it that has pinned the root."""
    home = authority_folder(folder)
    anchor = read_certificate(home / "root.pem")
    return Directory.open((home / "directory.jws").read_bytes(), [anchor], now or datetime.now(UTC))
