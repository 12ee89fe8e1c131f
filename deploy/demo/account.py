"""The account that the books are closed with: sums, and what does not agree."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from schemas.errors import ErrorCode, Refused


@dataclass(slots=True)
class Books:
    """The result. The last three figures and ``differences`` must be empty for the books to balance.

    Attributes:
        agencies: stores read.
        broker_users: users at the broker, as the demonstration counted them.
        accepted: letters in the senders' stores.
        transmissions: letter–recipient pairs that the signed letters name.
        delivered, not_delivered, refused: transmissions by their receipted outcome.
        left_over: transmissions without an outcome, and outbox rows not yet published.
        twice: surplus rows of a letter, of a number or of a receipt; surplus terminal receipts of a transmission.
        unverified: tokens whose signature, role or row does not hold.
        journalled: letters and receipts that the authority's journal has, of those that the agencies published.
        dead_letters: the authority's, by verdict.
        intruders: hostile messages, by agency, reason and publisher; no letter's state depends on them.
        differences: in words, what does not agree.
    """

    agencies: int = 0
    broker_users: int = 0
    accepted: int = 0
    transmissions: int = 0
    delivered: int = 0
    not_delivered: int = 0
    refused: int = 0
    left_over: int = 0
    twice: int = 0
    unverified: int = 0
    journalled: int = 0
    dead_letters: dict[str, int] = field(default_factory=dict)
    intruders: list[dict[str, Any]] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)

    @property
    def balanced(self) -> bool:
        """Sums agree, nothing is left over, nothing stands twice, everything verifies."""
        outcomes = self.delivered + self.not_delivered + self.refused + self.left_over
        return (
            outcomes == self.transmissions
            and not (self.left_over or self.twice or self.unverified)
            and not self.differences
        )

    def as_json(self) -> str:
        """The whole account as one JSON object."""
        return json.dumps(asdict(self) | {"balanced": self.balanced}, ensure_ascii=False, indent=2) + "\n"

    def write(self, file: Path) -> None:
        """Put it into ``file``.

        Raises:
            Refused: ``output_unwritable``.
        """
        try:
            file.write_text(self.as_json(), "utf-8")
        except OSError as error:
            raise Refused(ErrorCode.OUTPUT_UNWRITABLE, problem=error.strerror or type(error).__name__) from error
