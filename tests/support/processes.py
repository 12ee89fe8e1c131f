"""What runs, what listens: read from /proc, so that a test can compare before and after."""

import contextlib
import socket
import struct
from dataclasses import dataclass
from pathlib import Path

LISTENING = "0A"


@dataclass(frozen=True)
class Process:
    """One process; the start time tells it from a later one with the same number."""

    pid: int
    started: str
    command: str


def _stat(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/stat").read_text("ascii", "replace").rpartition(")")[2].split()


def running() -> dict[Process, int]:
    """Every process that is not a zombie → its parent."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError, IndexError):
                stat = _stat(int(entry.name))
                if stat[0] != "Z":
                    command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
                    found[Process(int(entry.name), stat[19], command)] = int(stat[1])
    return found


def below(pid: int) -> set[Process]:
    """All descendants of ``pid``."""
    everything = running()
    found: set[Process] = set()
    level = {pid}
    while level:
        children = {p for p, parent in everything.items() if parent in level} - found
        found |= children
        level = {p.pid for p in children}
    return found


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.partition(":")
    raw = bytes.fromhex(host)
    if len(raw) == 4:
        return socket.inet_ntop(socket.AF_INET, raw[::-1]), int(port, 16)
    words = b"".join(struct.pack(">I", word) for word in struct.unpack("<4I", raw))
    return socket.inet_ntop(socket.AF_INET6, words), int(port, 16)


def listeners() -> dict[str, tuple[str, int]]:
    """Socket inode → address of every listening TCP socket."""
    found = {}
    for table in ("tcp", "tcp6"):
        for line in Path("/proc/net", table).read_text("ascii").splitlines()[1:]:
            parts = line.split()
            if parts[3] == LISTENING:
                found[parts[9]] = _address(parts[1])
    return found


def listened_by(processes: set[Process]) -> set[tuple[str, int]]:
    """The addresses on which ``processes`` listen."""
    sockets = listeners()
    found = set()
    for process in processes:
        with contextlib.suppress(OSError):
            for descriptor in Path(f"/proc/{process.pid}/fd").iterdir():
                with contextlib.suppress(OSError):
                    target = str(descriptor.readlink())
                    if target.startswith("socket:[") and target[8:-1] in sockets:
                        found.add(sockets[target[8:-1]])
    return found
