"""What the groups of `tarasul authority` share: two options, and how a result is printed."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

DEFAULT_CONFIG = Path("authority/authority.toml")

Json = Annotated[bool, typer.Option("--json", help="One JSON object instead of lines.")]
Config = Annotated[Path, typer.Option("--config", "-c", envvar="TARASUL_AUTHORITY", help="Settings of the authority.")]


def put(document: Mapping[str, Any]) -> None:
    """Print a result as the one JSON object that it is."""
    sys.stdout.buffer.write(json.dumps(document, ensure_ascii=False, indent=2).encode() + b"\n")
    sys.stdout.buffer.flush()


def printable(value: object) -> str:
    """A value that anybody may have chosen must not speak to the terminal."""
    return "".join(char if char.isprintable() else "\ufffd" for char in str(value))
