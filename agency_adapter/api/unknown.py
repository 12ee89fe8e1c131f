"""Members of a letter that this release does not understand: kept and shown, never a reason to refuse."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from schemas.envelope import parse_letter


def unknown_members(claims: dict[str, Any]) -> tuple[str, ...]:
    """JSON Pointers of the unknown members of a letter's payload, at every level of the envelope."""
    return tuple(_within(parse_letter(claims), ""))


def _within(value: object, pointer: str) -> Iterator[str]:
    if isinstance(value, BaseModel):
        for name in value.model_extra or {}:
            yield f"{pointer}/{_escaped(name)}"
        for name in type(value).model_fields:
            yield from _within(getattr(value, name), f"{pointer}/{name}")
    elif isinstance(value, Sequence) and not isinstance(value, str | bytes):
        for index, item in enumerate(value):
            yield from _within(item, f"{pointer}/{index}")
    elif isinstance(value, Mapping):
        for name, item in value.items():
            yield from _within(item, f"{pointer}/{_escaped(str(name))}")


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")
