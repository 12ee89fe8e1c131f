"""Finding the RabbitMQ that is installed on this machine."""

import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from schemas.errors import ErrorCode, Refused

# The scripts in /usr/sbin of Debian's package change to the account rabbitmq and its folders, which a private
# node must not touch; the ones below are those that they call.
USUAL_PLACES = (
    "/usr/lib/rabbitmq/bin",
    "/usr/lib/rabbitmq/lib/*/sbin",
    "/opt/rabbitmq/sbin",
    "/usr/local/opt/rabbitmq/sbin",
    "/opt/homebrew/opt/rabbitmq/sbin",
)


@dataclass(frozen=True, slots=True)
class Installation:
    """Where the installed broker is.

    Attributes:
        scripts: folder of ``rabbitmq-server`` and ``rabbitmqctl``.
        epmd: Erlang's port mapper.
        version: such as ``3.10.8``.
    """

    scripts: Path
    epmd: Path
    version: str

    @property
    def server(self) -> Path:
        return self.scripts / "rabbitmq-server"

    @property
    def ctl(self) -> Path:
        return self.scripts / "rabbitmqctl"


def _is_wrapper(script: Path) -> bool:
    text = script.read_bytes()[:16384]
    return b"su rabbitmq" in text or b"runuser" in text


def _candidates(places: Sequence[str]) -> list[Path]:
    home = os.environ.get("RABBITMQ_HOME")
    found = [Path(home, "sbin")] if home else []
    for place in places:
        root = Path(place)
        folders = sorted(Path("/").glob(str(root.relative_to("/"))), reverse=True) if "*" in place else [root]
        found += folders
    on_path = shutil.which("rabbitmq-server")
    if on_path is not None:
        found.append(Path(on_path).resolve().parent)
    return found


def find_installation(places: Sequence[str] = USUAL_PLACES) -> Installation:
    """Find ``rabbitmq-server`` in ``RABBITMQ_HOME``, in ``places`` and on the path.

    Raises:
        Refused: ``rabbitmq_not_found``.
    """
    epmd = shutil.which("epmd") or next((str(path) for path in Path("/usr/lib/erlang").glob("erts-*/bin/epmd")), None)
    for folder in _candidates(places):
        server = folder / "rabbitmq-server"
        if epmd is not None and server.is_file() and not _is_wrapper(server):
            home = server.resolve().parent.parent
            match = re.search(r"rabbitmq_server-(\d+\.\d+\.\d+)", str(home)) or re.search(
                r"rabbit-(\d+\.\d+\.\d+)", " ".join(p.name for p in (home / "plugins").glob("rabbit-*"))
            )
            if match is not None:
                return Installation(folder, Path(epmd), match.group(1))
    raise Refused(ErrorCode.RABBITMQ_NOT_FOUND)
