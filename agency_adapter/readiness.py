"""Whether the adapter can do its work now, and what is missing if not."""

from dataclasses import dataclass

from schemas.errors import ErrorCode


@dataclass(frozen=True, slots=True)
class Check:
    """One dependency. ``code`` and ``detail`` say why it is not there."""

    name: str
    ok: bool
    code: ErrorCode | None = None
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class Readiness:
    """All dependencies; ready when each is there."""

    checks: tuple[Check, ...]

    @property
    def ready(self) -> bool:
        return all(check.ok for check in self.checks)
