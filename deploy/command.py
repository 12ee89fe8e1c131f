"""The command ``tarasul``. Each group is imported when it is used: an adapter never loads the authority's code."""

import os
import sys
from importlib import import_module
from importlib.metadata import version
from typing import Any

import click
import typer

from schemas.errors import Refused

NOT_READY_STATUS = frozenset({502, 503})

# module, application, what it is for
_GROUPS: dict[str, tuple[str, str, str]] = {
    "agency": (
        "agency_adapter.command",
        "agency_app",
        "موصّل الجهة: إرسال واستقبال وقيد · An agency's adapter: send, receive, register.",
    ),
    "authority": (
        "gateway.command",
        "authority_app",
        "الجهاز المركزي: التأسيس وبنية الوسيط · The central authority: bootstrap, topology.",
    ),
    "verify": (
        "trust.command",
        "verify_app",
        "التحقق من كتاب موقّع دون اتصال · Verify a signed letter offline.",
    ),
    "demo": (
        "deploy.demo.command",
        "demo_app",
        "العرض: ثلاث وزارات وقصة وحساب ختامي · The demonstration and its books.",
    ),
}


class _Groups(click.Group):
    """Loads a group when its name is used."""

    def list_commands(self, _context: click.Context) -> list[str]:
        return list(_GROUPS)

    def get_command(self, _context: click.Context, name: str) -> click.Command | None:
        if name not in _GROUPS:
            return None
        module, attribute, _ = _GROUPS[name]
        command: Any = typer.main.get_command(getattr(import_module(module), attribute))
        command.name = name
        return command  # type: ignore[no-any-return]  # typer's own return type

    def format_commands(self, _context: click.Context, formatter: click.HelpFormatter) -> None:
        # Listing must not import what it lists.
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, _, text) in _GROUPS.items()])


@click.group(cls=_Groups, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version("tarasul"), prog_name="tarasul")
def tarasul() -> None:
    """تراسل: مراسلات رسمية موقّعة بين الجهات الحكومية · Signed official letters between government agencies."""


def exit_code(refusal: Refused) -> int:
    """1: refused or invalid. 3: not reachable or not ready."""
    return 3 if refusal.status in NOT_READY_STATUS else 1


def report(refusal: Refused) -> None:
    """Tell a person on standard error: Arabic first, then English, each with its next step."""
    place = f" ({refusal.pointer})" if refusal.pointer else ""
    for language in ("ar", "en"):
        print(f"{refusal.text(language)}{place} [{refusal.code}]", file=sys.stderr)  # noqa: T201 - a terminal
        print(f"  {refusal.next_step(language)}", file=sys.stderr)  # noqa: T201


def main() -> None:
    """Entry point; never returns."""
    try:
        tarasul.main(standalone_mode=False)
    except click.exceptions.Exit as done:
        sys.exit(done.exit_code)
    except click.ClickException as wrong_use:
        wrong_use.show()
        sys.exit(wrong_use.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)
    except Refused as refusal:
        report(refusal)
        sys.exit(exit_code(refusal))
    except BrokenPipeError:
        # Whoever read our output has gone; the interpreter must not complain about it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    sys.exit(0)


if __name__ == "__main__":
    main()
