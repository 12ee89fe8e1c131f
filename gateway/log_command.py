"""`tarasul authority log …`: what the log says, and the proof of it."""

import base64
import re
import sys
from pathlib import Path
from typing import Annotated

import typer

from gateway.command_parts import DEFAULT_CONFIG, Config, Json, printable, put
from gateway.members import write_whole
from gateway.settings import read_authority_settings
from schemas.errors import ErrorCode, Refused
from schemas.identifiers import DIGEST_PATTERN

log_app = typer.Typer(
    help="سجل الإثبات: نقاط التوثيق والإثباتات · The log: its checkpoints, and proofs.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def _digest(text: str) -> str:
    if not re.fullmatch(DIGEST_PATTERN, text.lower()):
        raise typer.BadParameter("64 hexadecimal digits")
    return text.lower()


@log_app.command()
def checkpoint(*, config: Config = DEFAULT_CONFIG, as_json: Json = False) -> None:
    """اعرض أحدث نقطة توثيق موقّعة · Show the newest signed checkpoint."""
    from gateway.log_shelf import newest_checkpoint  # noqa: PLC0415 - the authority's other commands need no store
    from gateway.store.opening import reading  # noqa: PLC0415 - as above

    settings = read_authority_settings(config)
    with reading(settings.store, settings.base) as connection:
        note = newest_checkpoint(connection)
    if note is None:
        raise Refused(ErrorCode.NOT_IN_THE_LOG)
    text = note.decode()
    if as_json:
        origin, size, root = text.split("\n")[:3]
        put({"origin": origin, "size": int(size), "root": root, "note": text})
        return
    # Byte for byte, whatever the terminal is set to: somebody will verify it.
    sys.stdout.buffer.write(note)
    sys.stdout.buffer.flush()


@log_app.command()
def proof(
    digest: Annotated[str, typer.Argument(help="SHA-256 of the token, in hex, as receipts name it.", callback=_digest)],
    *,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder for an entry and a .tlog-proof each.")
    ] = None,
    config: Config = DEFAULT_CONFIG,
    as_json: Json = False,
) -> None:
    """اعرض ما يقوله السجل عن وثيقة مع إثباته · Show what the log says of a document, with its proof."""
    from gateway.log_shelf import proven  # noqa: PLC0415 - as above
    from gateway.store.opening import reading  # noqa: PLC0415 - as above

    settings = read_authority_settings(config)
    with reading(settings.store, settings.base) as connection:
        entries = proven(connection, digest)
    if not entries:
        raise Refused(ErrorCode.NOT_IN_THE_LOG)
    if output is not None:
        try:
            output.mkdir(parents=True, exist_ok=True)
            for number, each in enumerate(entries, 1):
                write_whole(output / f"{number}.json", each.entry)
                if each.proof is not None:
                    write_whole(output / f"{number}.tlog-proof", bytes(each.proof))
        except OSError as error:
            problem = error.strerror or type(error).__name__
            raise Refused(ErrorCode.OUTPUT_UNWRITABLE, problem=problem) from error
    if as_json:
        items = [
            {
                "lane": each.lane,
                "accepted": each.accepted,
                "entry_base64": base64.b64encode(each.entry).decode("ascii"),
                "proof": None if each.proof is None else bytes(each.proof).decode(),
            }
            for each in entries
        ]
        put({"items": items})
        return
    for each in entries:
        word = "قُبِل · accepted" if each.accepted else "دُوّن · recorded"
        place = "لا تشمله نقطة توثيق بعد · under no checkpoint yet" if each.proof is None else f"#{each.proof.index}"
        typer.echo(printable(f"{word}  {each.lane or '-'}  {place}"))
