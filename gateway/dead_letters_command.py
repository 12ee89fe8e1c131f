"""`tarasul authority dead-letters …`: what no inbox took, and what was answered; read beside the worker."""

from typing import Annotated, Any

import typer

from gateway.command_parts import DEFAULT_CONFIG, Config, Json, printable, put
from gateway.settings import read_authority_settings
from gateway.verdict import Verdict
from schemas.reasons import reason_text

_AS_JSON_ONLY = ("answers", "statement", "body_base64")

dead_letters_app = typer.Typer(
    help="تدقيق الرسائل المتعذّرة · The dead-letter audit: list and show.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


@dead_letters_app.command("list")
def list_entries(
    *,
    verdict: Annotated[Verdict | None, typer.Option(help="Only entries with this verdict.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Entries at most.")] = 100,
    before: Annotated[int | None, typer.Option(help="Only entries before this number: the part that follows.")] = None,
    config: Config = DEFAULT_CONFIG,
    as_json: Json = False,
) -> None:
    """اعرض الرسائل المتعذّرة، الأحدث أولاً · List dead letters, newest first."""
    from gateway.dead_letters import listed  # noqa: PLC0415 - the authority's other commands need no store

    entries = listed(read_authority_settings(config), verdict, before, limit)
    if as_json:
        put({"items": entries, "next": entries[-1]["seq"] if len(entries) == limit else None})
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
    """اعرض رسالة متعذّرة وما أُجيب عنها · Show one dead letter and its answers; as JSON, its original bytes too."""
    from gateway.dead_letters import shown  # noqa: PLC0415 - as above

    entry = shown(read_authority_settings(config), seq)
    if as_json:
        put(entry)
        return
    for name, value in entry.items():
        if name not in _AS_JSON_ONLY and value not in (None, ""):
            typer.echo(f"{name}: {printable(value)}")
    for answer in entry["answers"]:
        typer.echo(f"answer: {answer['kind']} to {answer['to']}")


def _line(entry: dict[str, Any]) -> str:
    text = reason_text(str(entry["reason"]))
    words = f"{text.ar} · {text.en}" if text is not None else entry["reason"]
    by = entry["publisher"] or "?"
    about = f" → {entry['recipient']}" if entry["recipient"] else ""
    copies = f" ×{entry['copies']}" if entry["copies"] > 1 else ""
    when = entry["received_at"][:19].replace("T", " ")
    return printable(f"{entry['seq']:>6}  {when}  {entry['verdict']:9} {by}{about}{copies}  {words}")
