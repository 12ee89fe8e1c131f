"""`tarasul authority dead-letters …`: what no inbox took, and what was answered; read beside the worker."""

import base64
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from sqlalchemy import Connection, select

from gateway.audit import Verdict
from gateway.settings import read_authority_settings
from gateway.store.opening import open_gateway_store
from gateway.store.tables import answers, dead_letters
from schemas.errors import ErrorCode, Refused
from schemas.reasons import reason_text
from schemas.working_time import KUWAIT

DEFAULT_CONFIG = Path("authority/authority.toml")
_LISTED = (
    "seq", "received_at", "verdict", "reason", "publisher", "signer", "recipient", "letter_id", "digest", "queue",
    "routing_key", "stage", "attempts", "copies", "size",
)  # fmt: skip
_SHOWN = (*_LISTED, "exchange", "explanation", "type", "last_at", "judged_at", "thread_id", "body_digest")

dead_letters_app = typer.Typer(
    help="تدقيق الرسائل المتعذّرة · The dead-letter audit: list and show.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

Json = Annotated[bool, typer.Option("--json", help="One JSON object instead of lines.")]
Config = Annotated[Path, typer.Option("--config", "-c", envvar="TARASUL_AUTHORITY", help="Settings of the authority.")]


@dead_letters_app.command("list")
def list_entries(
    *,
    verdict: Annotated[Verdict | None, typer.Option(help="Only entries with this verdict.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Entries at most.")] = 100,
    before: Annotated[int | None, typer.Option(help="Only entries before this number: the part that follows.")] = None,
    config: Config = DEFAULT_CONFIG,
    as_json: Json = False,
) -> None:
    """List dead letters, newest first."""
    statement = select(*(dead_letters.c[name] for name in _LISTED)).order_by(dead_letters.c.seq.desc()).limit(limit)
    if verdict is not None:
        statement = statement.where(dead_letters.c.verdict == verdict.value)
    if before is not None:
        statement = statement.where(dead_letters.c.seq < before)
    with _reading(config) as connection:
        entries = [_entry(row._mapping) for row in connection.execute(statement)]  # noqa: SLF001 - its public name
    if as_json:
        _put({"items": entries, "next": entries[-1]["seq"] if len(entries) == limit else None})
        return
    for entry in entries:
        typer.echo(_line(entry))
    if not entries:
        typer.echo("لا شيء · nothing")


@dead_letters_app.command()
def show(
    seq: Annotated[int, typer.Argument(help="The entry's number.")],
    *,
    config: Config = DEFAULT_CONFIG,
    as_json: Json = False,
) -> None:
    """Show one dead letter, with its answers and, as JSON, its original bytes."""
    columns = [dead_letters.c[name] for name in _SHOWN] + [dead_letters.c.body, dead_letters.c.statement_jws]
    with _reading(config) as connection:
        row = connection.execute(select(*columns).where(dead_letters.c.seq == seq)).one_or_none()
        if row is None:
            raise Refused(ErrorCode.DEAD_LETTER_NOT_FOUND, number=seq)
        a = answers.c
        given = [
            {"to": to, "kind": kind, "recipient": recipient or None, "jws": bytes(jws).decode("ascii")}
            for to, kind, recipient, jws in connection.execute(
                select(a.addressee, a.kind, a.recipient, a.answer_jws).where(a.dead_letter_seq == seq).order_by(a.seq)
            )
        ]
    entry = _entry({name: getattr(row, name) for name in _SHOWN})
    if as_json:
        statement = None if row.statement_jws is None else bytes(row.statement_jws).decode("ascii", "backslashreplace")
        body = base64.b64encode(bytes(row.body)).decode("ascii")
        _put(entry | {"answers": given, "statement": statement, "body_base64": body})
        return
    for name, value in entry.items():
        if value not in (None, ""):
            typer.echo(f"{name}: {_printable(value)}")
    for answer in given:
        typer.echo(f"answer: {answer['kind']} to {answer['to']}")


def _reading(config: Path) -> Connection:
    settings = read_authority_settings(config)
    return open_gateway_store(settings.store, settings.base).readings.connect()


def _entry(row: Any) -> dict[str, Any]:
    entry = dict(row)
    for name in ("received_at", "last_at", "judged_at"):
        if entry.get(name) is not None:
            moment = datetime.fromtimestamp(entry[name] / 1000, UTC).astimezone(KUWAIT)
            entry[name] = moment.isoformat(timespec="milliseconds")
    return entry


def _line(entry: dict[str, Any]) -> str:
    text = reason_text(str(entry["reason"]))
    words = f"{text.ar} · {text.en}" if text is not None else entry["reason"]
    by = entry["publisher"] or "?"
    about = f" → {entry['recipient']}" if entry["recipient"] else ""
    copies = f" ×{entry['copies']}" if entry["copies"] > 1 else ""
    when = entry["received_at"][:19].replace("T", " ")
    return _printable(f"{entry['seq']:>6}  {when}  {entry['verdict']:9} {by}{about}{copies}  {words}")


def _printable(value: object) -> str:
    """A value that anybody may have chosen must not speak to the terminal."""
    return "".join(char if char.isprintable() else "\ufffd" for char in str(value))


def _put(document: dict[str, Any]) -> None:
    sys.stdout.buffer.write(json.dumps(document, ensure_ascii=False, indent=2).encode() + b"\n")
    sys.stdout.buffer.flush()
