"""A private node's name and ports: chosen once, remembered in its folder."""

import json
import random
import secrets
import socket
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

LOOPBACK = "127.0.0.1"
# Below the range from which Linux gives ports to outgoing connections: none of these can take a port of a
# node that is being restarted.
PORTS = range(20_000, 32_000)
FILE = "node.json"


@dataclass(frozen=True, slots=True)
class NodeIdentity:
    """What must stay the same from one start to the next: the data folder belongs to the node's name."""

    name: str
    amqps: int
    management: int
    prometheus: int
    distribution: int
    epmd: int

    @classmethod
    def chosen(cls, *, amqps: int | None, management: int | None) -> Self:
        """A new name and free ports, but for those that are given."""
        free = free_ports(5)
        return cls(f"tarasul-{secrets.token_hex(4)}@localhost", amqps or free[0], management or free[1], *free[2:])

    @classmethod
    def remembered(cls, folder: Path) -> Self | None:
        """That of the node in ``folder``, if there has been one."""
        file = folder / FILE
        return cls(**json.loads(file.read_text("utf-8"))) if file.exists() else None

    def remember(self, folder: Path) -> None:
        (folder / FILE).write_text(json.dumps(asdict(self)), "utf-8")

    @staticmethod
    def forget(folder: Path) -> None:
        (folder / FILE).unlink()

    def taken_port(self) -> int | None:
        """A port of the broker's own listeners that somebody else has, if there is one."""
        ports = (self.amqps, self.management, self.prometheus, self.distribution)
        return next((port for port in ports if not is_free(port)), None)


def free_ports(count: int) -> list[int]:
    """Ports on loopback that nobody listens on now, below those that the kernel gives to outgoing connections."""
    chooser = random.SystemRandom()
    found: list[int] = []
    while len(found) < count:
        port = chooser.choice(PORTS)
        if port not in found and is_free(port):
            found.append(port)
    return found


def is_free(port: int) -> bool:
    """Whether nobody on loopback listens on ``port``."""
    with socket.socket() as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((LOOPBACK, port))
        except OSError:
            return False
        return True
