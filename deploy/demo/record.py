"""The authority's part of the books: whether its record holds everything that the agencies published."""

import contextlib
import sqlite3
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from pathlib import Path

MOST_NAMED = 10
_CONFIRMED = 2


@dataclass(frozen=True, slots=True)
class Published:
    """A token that an agency published: its digest, under which key, by whom."""

    digest: str
    routing_key: str
    publisher: str


@dataclass(slots=True)
class Record:
    """What the authority's store holds.

    Attributes:
        journalled: of what was published, how many tokens the journal has.
        dead_letters: entries by verdict.
        differences: in words, what does not agree.
    """

    journalled: int = 0
    dead_letters: dict[str, int] = field(default_factory=dict)
    differences: list[str] = field(default_factory=list)


def read_record(store: Path, published: AbstractSet[Published]) -> Record:
    """Compare the authority's ``store`` (SQLite, its process has stopped) with what was ``published``.

    Raises:
        sqlite3.Error: it cannot be read.
    """
    record = Record()
    with contextlib.closing(sqlite3.connect(f"{store.absolute().as_uri()}?mode=ro", uri=True)) as connection:
        journalled = {
            Published(*row) for row in connection.execute("SELECT digest, routing_key, publisher FROM journal_tokens")
        }
        missing = published - journalled
        record.journalled = len(published) - len(missing)
        for token in sorted(missing, key=str)[:MOST_NAMED]:
            record.differences.append(
                f"the journal has no {token.digest[:12]}, which {token.publisher} published to {token.routing_key}"
            )
        if len(missing) > MOST_NAMED:
            record.differences.append(f"the journal lacks {len(missing) - MOST_NAMED} more")
        record.dead_letters = dict(connection.execute("SELECT verdict, count(*) FROM dead_letters GROUP BY verdict"))
        for verdict in ("new", "waiting"):
            if count := record.dead_letters.get(verdict):
                record.differences.append(f"{count} dead letters are {verdict}: not judged")
        gaps = connection.execute(
            "SELECT count(*) FROM journal_gaps g WHERE NOT EXISTS"
            " (SELECT 1 FROM journal_gap_acknowledgements a WHERE a.gap_seq = g.seq)"
        ).fetchone()[0]
        if gaps:
            record.differences.append(f"the journal has {gaps} gaps that nobody has acknowledged")
        # What a tampered store holds instead of a number is no confirm.
        waiting = connection.execute(
            "SELECT count(*) FROM answers WHERE NOT (typeof(relay_state) = 'integer' AND relay_state >= ?)",
            (_CONFIRMED,),
        ).fetchone()[0]
        if waiting:
            record.differences.append(f"{waiting} answers of the authority were never published")
    return record
