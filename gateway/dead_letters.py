"""What the audit has recorded, read beside the worker."""

import base64
from typing import Any

from sqlalchemy import RowMapping, select

from gateway.moments import written
from gateway.settings import AuthoritySettings
from gateway.store.opening import reading
from gateway.store.tables import answers, dead_letters
from gateway.verdict import Verdict
from schemas.errors import ErrorCode, Refused

_LISTED = (
    "seq", "received_at", "verdict", "reason", "publisher", "signer", "recipient", "letter_id", "digest", "queue",
    "routing_key", "stage", "attempts", "copies", "size",
)  # fmt: skip
_SHOWN = (*_LISTED, "exchange", "explanation", "type", "last_at", "judged_at", "thread_id", "body_digest")


def listed(
    settings: AuthoritySettings, verdict: Verdict | None, before: int | None, limit: int
) -> list[dict[str, Any]]:
    """Entries, newest first, times in RFC 3339.

    Args:
        settings: say where the store is.
        verdict: only entries with it.
        before: only entries with a smaller number.
        limit: at most so many.

    Raises:
        Refused: what :func:`gateway.store.opening.reading` raises.
    """
    statement = select(*(dead_letters.c[name] for name in _LISTED)).order_by(dead_letters.c.seq.desc()).limit(limit)
    if verdict is not None:
        statement = statement.where(dead_letters.c.verdict == verdict.value)
    if before is not None:
        statement = statement.where(dead_letters.c.seq < before)
    with reading(settings.store, settings.base) as connection:
        return [_entry(row) for row in connection.execute(statement).mappings()]


def shown(settings: AuthoritySettings, seq: int) -> dict[str, Any]:
    """One entry with its ``answers``, its ``statement`` as text and its original bytes as ``body_base64``.

    Raises:
        Refused: ``dead_letter_not_found``; what :func:`gateway.store.opening.reading` raises.
    """
    columns = [dead_letters.c[name] for name in _SHOWN]
    original = (dead_letters.c.body, dead_letters.c.statement_jws)
    a = answers.c
    with reading(settings.store, settings.base) as connection:
        row = connection.execute(select(*columns).where(dead_letters.c.seq == seq)).mappings().one_or_none()
        if row is None:
            raise Refused(ErrorCode.DEAD_LETTER_NOT_FOUND, number=seq)
        body, statement = connection.execute(select(*original).where(dead_letters.c.seq == seq)).one()
        given = [
            {"to": to, "kind": kind, "recipient": recipient or None, "jws": bytes(jws).decode("ascii")}
            for to, kind, recipient, jws in connection.execute(
                select(a.addressee, a.kind, a.recipient, a.answer_jws).where(a.dead_letter_seq == seq).order_by(a.seq)
            )
        ]
    return _entry(row) | {
        "answers": given,
        "statement": None if statement is None else bytes(statement).decode("ascii", "backslashreplace"),
        "body_base64": base64.b64encode(bytes(body)).decode("ascii"),
    }


def _entry(row: RowMapping) -> dict[str, Any]:
    entry: dict[str, Any] = {str(name): value for name, value in row.items()}
    for name in ("received_at", "last_at", "judged_at"):
        if entry.get(name) is not None:
            entry[name] = written(entry[name])
    return entry
