"""`tarasul authority dead-letters …`: what no inbox took, and what was answered; read beside the worker."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from gateway.settings import read_authority_settings
from gateway.verdict import Verdict
from schemas.reasons import reason_text

DEFAULT_CONFIG = Path("authority/authority.toml")
_AS_JSON_ONLY = ("answers", "statement", "body_base64")

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
    from gateway.dead_letters import listed  # noqa: PLC0415 - the authority's other commands need no store

    entries = listed(read_authority_settings(config), verdict, before, limit)
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
    from gateway.dead_letters import shown  # noqa: PLC0415 - as above

    entry = shown(read_authority_settings(config), seq)
    if as_json:
        _put(entry)
        return
    for name, value in entry.items():
        if name not in _AS_JSON_ONLY and value not in (None, ""):
            typer.echo(f"{name}: {_printable(value)}")
    for answer in entry["answers"]:
        typer.echo(f"answer: {answer['kind']} to {answer['to']}")


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
