"""A process that hosts adapters (benchmarks/product.py), driven line by line."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

HERE = Path(__file__).parent
STOPPING_SECONDS = 120


def resident_mb(pid: int) -> float:
    """VmRSS of a process."""
    for line in Path(f"/proc/{pid}/status").read_text("ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("no VmRSS")


class Host:
    """The adapters with the settings files ``configs``; ready when this returns."""

    def __init__(self, configs: Sequence[Path]) -> None:
        arguments = [word for config in configs for word in ("--config", str(config))]
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / "product.py"), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.pid = self._process.pid

    def __enter__(self) -> Self:
        self.result()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.communicate(timeout=STOPPING_SECONDS)

    @property
    def cpu(self) -> float:
        """Seconds of CPU that it has used."""
        used: float = self.ask("usage")["used"]
        return used

    def ask(self, what: str, **arguments: Any) -> dict[str, Any]:
        """Have it do ``what`` (a method of benchmarks/product.py), and return the result."""
        self.begin(what, **arguments)
        return self.result()

    def begin(self, what: str, **arguments: Any) -> None:
        """As :meth:`ask`, without waiting."""
        assert self._process.stdin is not None  # noqa: S101 - a pipe was asked for
        self._process.stdin.write(json.dumps({"do": what, **arguments}) + "\n")
        self._process.stdin.flush()

    def result(self) -> dict[str, Any]:
        """Of what was begun.

        Raises:
            RuntimeError: when the process ended instead.
        """
        assert self._process.stdout is not None  # noqa: S101 - as above
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the adapters ended with {self._process.wait()}")
        result: dict[str, Any] = json.loads(line)
        return result
