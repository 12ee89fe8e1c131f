"""`tarasul authority journal …`: where the stream did not go on, and that somebody has looked at it."""

from typing import Annotated, Any

import typer

from broker.clock import Clock
from gateway.command_parts import DEFAULT_CONFIG, Config, Json, printable, put
from gateway.settings import read_authority_settings

LONGEST_NAME = 100
LONGEST_REASON = 1000
_KIND = {"truncated": "اقتُطع المجرى · truncated", "re-created": "أُنشئ المجرى من جديد · re-created"}

journal_app = typer.Typer(
    help="السجل المركزي: فجواته والإقرار بها · The journal: its gaps, and acknowledging them.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def _said(limit: int) -> Any:
    def check(text: str) -> str:
        if not text.strip() or len(text) > limit:
            raise typer.BadParameter(f"one to {limit} characters")
        return text.strip()

    return check


@journal_app.command()
def gaps(*, config: Config = DEFAULT_CONFIG, as_json: Json = False) -> None:
    """اعرض فجوات السجل ومن أقرّ بها، الأحدث أولاً · List the journal's gaps, newest first, and who acknowledged them."""
    from gateway.journal_gaps import listed  # noqa: PLC0415 - the authority's other commands need no store

    entries = listed(read_authority_settings(config))
    if as_json:
        put({"items": entries})
        return
    for entry in entries:
        typer.echo(_line(entry))
    if not entries:
        typer.echo("لا شيء · nothing")


@journal_app.command("acknowledge-gap")
def acknowledge_gap(
    seq: Annotated[int, typer.Argument(help="The gap's number.")],
    *,
    by: Annotated[str, typer.Option(help="Who has looked at it.", callback=_said(LONGEST_NAME))],
    reason: Annotated[str, typer.Option(help="What it was, and what was done.", callback=_said(LONGEST_REASON))],
    config: Config = DEFAULT_CONFIG,
    as_json: Json = False,
) -> None:
    """أقرّ بأن فجوة فُحصت · Write down that a gap was looked at.

    Its check is green again, its record stays; the first word counts.
    """
    from gateway.journal_gaps import Acknowledgement, acknowledge  # noqa: PLC0415 - as above

    given = Acknowledgement(seq, by, reason, Clock().unix_ms())
    entry, new = acknowledge(read_authority_settings(config), given)
    if as_json:
        put(entry | {"new": new})
        return
    who, when = printable(entry["acknowledged_by"]), _moment(entry["acknowledged_at"])
    if new:
        typer.echo(f"سُجّل الإقرار بالفجوة {seq} باسم {who}.")
        typer.echo(f"Gap {seq} is acknowledged by {who}.")
    else:
        typer.echo(f"الفجوة {seq} أقرّ بها {who} من قبل في {when}، ويبقى إقراره.")
        typer.echo(f"Gap {seq} was acknowledged before, by {who} at {when}; that stands.")


def _line(entry: dict[str, Any]) -> str:
    first = "?" if entry["first_offset"] is None else entry["first_offset"]
    place = f"{entry['incarnation']}/{entry['after_offset']} → {first}"
    if entry["acknowledged_by"] is None:
        word = "لم يُقرّ بها · not acknowledged"
    else:
        by = f"{entry['acknowledged_by']}, {_moment(entry['acknowledged_at'])}"
        word = f"أُقرّ بها · acknowledged: {by}: {entry['reason']}"
    kind = _KIND.get(entry["kind"], entry["kind"])
    return printable(f"{entry['seq']:>6}  {_moment(entry['noted_at'])}  {kind}  {place}  {word}")


def _moment(written: str) -> str:
    return written[:19].replace("T", " ")
