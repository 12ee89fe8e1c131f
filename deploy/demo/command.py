"""`tarasul demo …`: play the demonstration, and read its books."""

import logging
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import structlog
import typer

from deploy.demo.books import read_books
from deploy.demo.stage import COMMAND, Stage
from deploy.demo.story import ALONE, CODES, Story, tell_books
from deploy.demo.telling import Telling

BOOKS = "books.json"

demo_app = typer.Typer(
    name="demo",
    help="العرض · The demonstration: 52 agencies, a real broker, a story, and its books.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)

Folder = Annotated[Path, typer.Argument(help="Of the demonstration.")]


@demo_app.command()
def run(
    folder: Folder = Path("run/demo"),
    *,
    once: Annotated[bool, typer.Option("--once", help="End when the story is over.")] = False,
    few: Annotated[bool, typer.Option("--few", help="Three agencies alone, for a small machine.")] = False,
) -> None:
    """اعرض القصة بدلاً من عرض سابق · Play the story, in place of an earlier one; exit 0 only if the books balance."""
    if folder.resolve() == Path.cwd():
        raise typer.BadParameter("the folder is replaced in one step: name it from outside", param_hint="FOLDER")
    # The stage is cleared on the way out, as after Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # The broker session of the intruder would log into the story.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    began = time.monotonic()
    telling = Telling()
    with Stage(folder, ALONE if few else CODES) as stage:
        story = Story(stage, telling)
        story.play()
        if not once:
            _stay(telling, folder, story.letter_id)
        stage.stop()
    # The account is drawn up by a reader in a process of its own, which knows the stores and nothing else.
    code = subprocess.run([*COMMAND, "demo", "books", str(folder)], stdin=subprocess.DEVNULL, check=False).returncode
    telling.printer.line(f"{folder / BOOKS} · {time.monotonic() - began:.0f} s")
    raise typer.Exit(code)


@demo_app.command()
def books(
    folder: Folder = Path("run/demo"),
    *,
    as_json: Annotated[bool, typer.Option("--json", help="The account as JSON.")] = False,
) -> None:
    """أعدّ حساب كل كتاب من المخازن · Account for every letter; writes books.json; exit 1 unless it balances."""
    found = read_books(folder, datetime.now(UTC))
    found.write(folder / BOOKS)
    if as_json:
        sys.stdout.write(found.as_json())
    else:
        tell_books(found, Telling())
    raise typer.Exit(0 if found.balanced else 1)


def _stay(telling: Telling, folder: Path, letter_id: str) -> None:
    """Say what to try, and wait for Ctrl-C."""
    telling.chapter("جرّب بنفسك", "try it yourself")
    config = folder / "agencies" / "{code}" / "adapter.toml"
    inbox, sender = (str(config).format(code=code) for code in ("MOF", "MPW"))
    for command in (
        f"tarasul agency inbox --config {inbox}",
        f"tarasul agency timeline {letter_id} --config {sender}",
        f"tarasul agency send --to MOF --subject 'كتاب تجريبي' --body-file - --wait 10 --config {sender}",
        f"tarasul agency quarantine --config {inbox}",
        f"tarasul agency status --config {inbox}",
        f"tarasul authority topology check --config {folder / 'authority' / 'authority.toml'}",
    ):
        telling.printer.line(f".venv/bin/{command}")
    telling.say(
        "ينتهي العرض بضغط Ctrl-C، ثم يظهر الحساب الختامي.", "Ctrl-C ends the demonstration and shows its books."
    )
    try:
        signal.pause()
    except KeyboardInterrupt:
        telling.printer.line("")
