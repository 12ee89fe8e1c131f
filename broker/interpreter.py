"""The interpreter of a process that moves letters, set up for that."""

import gc
import sys

SWITCH_INTERVAL_SECONDS = 0.001
"""Commits wait in a thread for the disk; Python's 5 ms would keep them waiting for the interpreter too."""

COLLECT_AFTER = 20_000
"""New containers after which Python looks for cycles. A batch of letters makes some thousand, all of which go without;
at Python's 700 a tenth of the time went into looking through them."""


def prepare() -> None:
    """Set up this process; called once everything has been imported, before the loop begins."""
    sys.setswitchinterval(SWITCH_INTERVAL_SECONDS)
    gc.collect()
    # What has been imported stays: it is looked through no more.
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER, 10, 10)
