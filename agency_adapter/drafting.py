"""Making the request for a letter from what stands on the command line."""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from schemas.errors import ErrorCode, Refused
from trust import ijson

LARGEST_FILE = 4 * 1024 * 1024
STANDARD_INPUT = Path("-")


@dataclass(frozen=True, slots=True)
class Draft:
    """A letter in options.

    Attributes:
        fields: the type's own, as JSON.
        reply_to: id of a letter that arrived.
    """

    to: Sequence[str]
    cc: Sequence[str]
    subject: str | None
    body_file: Path | None
    type: str | None
    urgency: str | None
    reply_to: str | None
    fields: str | None

    @property
    def empty(self) -> bool:
        return not (self.to or self.cc or self.subject or self.body_file or self.reply_to or self.fields)


def read_file(path: Path) -> bytes:
    """The bytes of ``path``, or of standard input for ``-``.

    Raises:
        Refused: ``file_unreadable``, also when it is larger than :data:`LARGEST_FILE`.
    """
    try:
        if path == STANDARD_INPUT:
            if sys.stdin is None:
                raise Refused(ErrorCode.FILE_UNREADABLE, path=str(path), problem_ar="مغلق", problem="closed")
            content = sys.stdin.buffer.read(LARGEST_FILE + 1)
        else:
            with path.open("rb") as file:
                content = file.read(LARGEST_FILE + 1)
    except OSError as error:
        raise Refused(ErrorCode.FILE_UNREADABLE, path=str(path), problem=error.strerror or "") from error
    if len(content) > LARGEST_FILE:
        raise Refused(
            ErrorCode.FILE_UNREADABLE,
            path=str(path),
            problem_ar=f"أكبر من {LARGEST_FILE} بايت",
            problem=f"larger than {LARGEST_FILE} bytes",
        )
    return content


def compose(draft: Draft, look_up: Callable[[str], Mapping[str, Any]]) -> dict[str, Any]:
    """The request for ``draft``.

    Args:
        draft: what was given; whatever is missing is for the adapter to refuse or fill in.
        look_up: answers the letter with an id, as the API shows it. For ``reply_to``.

    Raises:
        Refused: ``file_unreadable``, or what :func:`trust.ijson.parse` or ``look_up`` raises.
    """
    recipients = [{"agency": agency, "role": "to"} for agency in draft.to]
    request: dict[str, Any] = {}
    content: dict[str, Any] = {"fields": _fields(draft.fields)} if draft.fields else {}
    if draft.subject is not None:
        content["subject"] = draft.subject
    if draft.body_file is not None:
        content["body"] = _text(draft.body_file)
    if draft.urgency is not None:
        request["urgency"] = draft.urgency
    if draft.reply_to is not None:
        answered = look_up(draft.reply_to)
        cited = _cited(answered)
        request |= {"thread_id": answered["thread_id"], "references": [cited | {"relation": "REPLIES_TO"}]}
        content.setdefault("subject", answered["subject"])
        if draft.type is not None and draft.type.startswith("reply/"):
            content["fields"] = {"in_reply_to": cited} | content.get("fields", {})
        if not recipients:
            recipients = [{"agency": answered["letter"]["sender"]["agency"], "role": "to"}]
    if draft.type is not None:
        request["type"] = draft.type
    recipients += [{"agency": agency, "role": "cc"} for agency in draft.cc]
    return request | {"recipients": recipients, "content": content}


def _cited(answered: Mapping[str, Any]) -> dict[str, str]:
    """A letter as others quote it: whose, its number, its date."""
    return {
        "agency": answered["letter"]["sender"]["agency"],
        "outgoing_no": answered["outgoing_no"],
        "date": answered["issued_at"][:10],
    }


def _fields(text: str) -> dict[str, Any]:
    return ijson.parse(text.encode("utf-8", "surrogateescape"), max_bytes=LARGEST_FILE)


def _text(path: Path) -> str:
    try:
        return read_file(path).decode("utf-8")
    except UnicodeDecodeError as error:
        raise Refused(
            ErrorCode.FILE_UNREADABLE, path=str(path), problem_ar="ليس بترميز UTF-8", problem="not UTF-8"
        ) from error
