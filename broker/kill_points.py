"""Where a process may be killed to prove the order of its commits.

Each name marks an instant between two steps that must not lose or double a letter. They are inert in
production: only the environment variable ``TARASUL_KILL_AT`` arms one, as ``name`` or ``name:n``, and the
process then ends itself with SIGKILL at the n-th passage, exactly as a power cut would: no exception handler,
no flush, no goodbye.
"""

import os
import signal
from enum import StrEnum


class KillPoint(StrEnum):
    """Instants of the commit order, in the order in which one letter passes them."""

    LETTER_COMMITTED = "letter_committed"
    PUBLISHED_UNCONFIRMED = "published_unconfirmed"
    CONFIRMED_UNMARKED = "confirmed_unmarked"
    RECEIVED_UNVERIFIED = "received_unverified"
    VERIFIED_UNCOMMITTED = "verified_uncommitted"
    COMMITTED_UNACKED = "committed_unacked"
    COMMITTED_RECEIPT_UNPUBLISHED = "committed_receipt_unpublished"
    RECEIPT_PUBLISHED_UNCONFIRMED = "receipt_published_unconfirmed"
    RECEIPT_CONFIRMED_UNMARKED = "receipt_confirmed_unmarked"
    RECEIPT_RECEIVED_UNCOMMITTED = "receipt_received_uncommitted"
    RECEIPT_COMMITTED_UNACKED = "receipt_committed_unacked"
    DEAD_LETTER_RECEIVED_UNSTORED = "dead_letter_received_unstored"
    DEAD_LETTER_STORED_UNACKED = "dead_letter_stored_unacked"
    DEAD_LETTER_ACKED_UNANSWERED = "dead_letter_acked_unanswered"


def _armed() -> tuple[KillPoint | None, int]:
    wanted = os.environ.get("TARASUL_KILL_AT", "")
    if not wanted:
        return None, 0
    name, _, count = wanted.partition(":")
    return KillPoint(name), int(count or 1)


_POINT, _LEFT = _armed()


def passage(point: KillPoint) -> None:
    """Say that ``point`` is being passed; ends the process by SIGKILL if that passage is the armed one."""
    global _LEFT  # noqa: PLW0603 - a countdown of the whole process
    if point is not _POINT:
        return
    _LEFT -= 1
    if _LEFT == 0:
        os.kill(os.getpid(), signal.SIGKILL)
