"""What may become of a dead letter."""

from enum import StrEnum


class Verdict(StrEnum):
    """What became of a dead letter.

    ``new`` and ``waiting`` are to be judged (again); ``filed`` is a record that needs no answer; ``unjudged`` could not
    be judged, which is a fault of ours; the others have an answer.
    """

    NEW = "new"
    WAITING = "waiting"
    FILED = "filed"
    REFUSED = "refused"
    HELD = "held"
    INCIDENT = "incident"
    UNJUDGED = "unjudged"
