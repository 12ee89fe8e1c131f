"""Waiting, on the command line, until a letter has an outcome at each of its recipients."""

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from agency_adapter.client import AdapterClient, segment
from agency_adapter.labels import TRANSMISSION_STATES, words
from broker.clock import Clock
from schemas.delivery import TERMINAL_STATES, TransmissionState
from schemas.errors import ErrorCode, Refused

if TYPE_CHECKING:
    from agency_adapter.printing import Printer

POLL_SECONDS = 0.25


def await_outcomes(client: AdapterClient, letter_id: str, seconds: float, printer: "Printer | None") -> dict[str, Any]:
    """The letter when every recipient's outcome is there, or as it stands when ``seconds`` are over.

    Each change of a recipient's state is told to ``printer``. Raises as :meth:`AdapterClient.get` does.
    """
    clock, shown = Clock(), dict[str, str]()
    end = clock.monotonic() + seconds
    while True:
        letter = client.get(f"/v1/letters/{segment(letter_id)}")
        for each in letter["transmissions"]:
            if shown.get(each["recipient"]) != each["state"]:
                shown[each["recipient"]] = each["state"]
                if printer is not None:
                    printer.line(each["recipient"], *words(TRANSMISSION_STATES, each["state"]))
        if _ended(letter) or clock.monotonic() >= end:
            return letter
        time.sleep(min(POLL_SECONDS, max(0.0, end - clock.monotonic())))


def all_delivered(letter: Mapping[str, Any], seconds: float) -> bool:
    """Whether every recipient has it.

    Raises:
        Refused: ``outcome_pending`` when one has no outcome after ``seconds``.
    """
    if not _ended(letter):
        raise Refused(ErrorCode.OUTCOME_PENDING, id=letter["id"], seconds=f"{seconds:g}")
    return all(each["state"] == TransmissionState.DELIVERED for each in letter["transmissions"])


def _ended(letter: Mapping[str, Any]) -> bool:
    return all(each["state"] in TERMINAL_STATES for each in letter["transmissions"])
