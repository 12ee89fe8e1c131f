"""The owner's end of the line to a node's keeper; the other end is :mod:`broker.node_keeper`."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

from broker import node_keeper
from schemas.errors import ErrorCode, Refused

HOLD_SECONDS = 30.0
END_SECONDS = 30.0
NO_KEEPER = "none"


class KeeperLink:
    """Starts the keeper of one node's folder and asks it, one request at a time.

    Args:
        directory: the node's folder, which the keeper makes and locks.
        temporary: whether it goes with the keeper.
    """

    def __init__(self, directory: Path, *, temporary: bool) -> None:
        self._directory = directory
        self._temporary = temporary
        self._keeper: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._received = b""

    @property
    def there(self) -> bool:
        """Whether there is a keeper to ask."""
        return self._socket is not None

    def hold(self) -> None:
        """Start the keeper, unless it runs; it makes and locks the folder.

        Raises:
            Refused: ``node_not_started`` when another node has the folder.
        """
        if self._keeper is not None and self._keeper.poll() is None:
            return
        ours, theirs = socket.socketpair()
        with theirs:
            self._keeper = subprocess.Popen(
                [
                    sys.executable,
                    "-I",
                    "-S",
                    str(Path(node_keeper.__file__)),
                    str(theirs.fileno()),
                    str(os.getpid()),
                    str(self._directory),
                    "temporary" if self._temporary else "lasting",
                ],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                start_new_session=True,
            )
        self._socket, self._received = ours, b""
        state = self._answer(HOLD_SECONDS)
        if state != "ready":
            self.close()
            if state != "in_use":
                raise Refused(ErrorCode.NODE_NOT_STARTED, problem=state, log="–")
            raise Refused(
                ErrorCode.NODE_NOT_STARTED,
                problem_ar=f"يستخدم وسيط آخر المجلد {self._directory}",
                problem=f"another node uses {self._directory}",
                log="–",
            )

    def ask(self, request: dict[str, object], seconds: float) -> str:
        """The keeper's answer to ``request``; :data:`NO_KEEPER` when there is no keeper."""
        if self._socket is None:
            return NO_KEEPER
        self._socket.sendall(json.dumps(request).encode() + b"\n")
        return self._answer(seconds)

    def close(self) -> None:
        """Let the keeper end everything, and wait until it has. Safe to call twice."""
        keeper, self._keeper = self._keeper, None
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        if keeper is not None:
            keeper.wait(END_SECONDS)

    def _answer(self, seconds: float) -> str:
        if self._socket is None:
            return NO_KEEPER
        self._socket.settimeout(seconds)
        while b"\n" not in self._received:
            received = self._socket.recv(4096)
            if not received:
                return "the keeper ended"
            self._received += received
        line, _, self._received = self._received.partition(b"\n")
        return str(json.loads(line)["state"])
