"""What pydantic found wrong with a request, as refusals of our catalogue, with the place of each.

Values of the request are never repeated in a refusal, only names of members, shortened: an answer may be
logged by whoever asked.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from schemas.errors import ErrorCode, Refused
from schemas.validation import in_arabic

LONGEST_NAME = 80
MOST = 20

_WRONG_TYPE_ENDINGS = ("_type", "_parsing", "_from_float")
_WRONG_SIZE = frozenset(
    {
        "string_too_short",
        "string_too_long",
        "too_short",
        "too_long",
        "greater_than",
        "greater_than_equal",
        "less_than",
        "less_than_equal",
    }
)
_CODES = frozenset(code.value for code in ErrorCode)
_LIMITS = ("min_length", "max_length", "gt", "ge", "lt", "le")


class Faulty(Exception):  # noqa: N818 - it is not an error of ours
    """A request with one or more faults; :attr:`refusals` lists them, in the order of the document."""

    def __init__(self, refusals: Sequence[Refused]) -> None:
        super().__init__(str(refusals[0]))
        self.refusals = tuple(refusals)


def body_faults(errors: Sequence[Mapping[str, Any]]) -> list[Refused]:
    """Refusals for the errors of a body model; ``loc`` is the place within the body."""
    return [_fault(error, _pointer(error["loc"])) for error in errors[:MOST]]


def parameter_faults(errors: Sequence[Mapping[str, Any]]) -> list[Refused]:
    """Refusals for FastAPI's errors in query, path and header; ``loc`` begins with which of them."""
    found = []
    for error in errors[:MOST]:
        name = shown(error["loc"][-1])
        if name.lower() == "idempotency-key":
            found.append(Refused(ErrorCode.IDEMPOTENCY_KEY_INVALID))
        elif error["type"] == "extra_forbidden":
            found.append(Refused(ErrorCode.PARAMETER_UNKNOWN, parameter=name))
        else:
            found.append(Refused(ErrorCode.PARAMETER_INVALID, parameter=name))
    return found


def shown(name: object) -> str:
    """``name`` as it may stand in a text: printable and short."""
    text = "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in str(name))
    return text if len(text) <= LONGEST_NAME else text[:LONGEST_NAME] + "…"


def _fault(error: Mapping[str, Any], pointer: str) -> Refused:
    kind, context = error["type"], error.get("ctx") or {}
    cause = context.get("error")
    if isinstance(cause, Refused):
        return Refused(cause.code, pointer=pointer + (cause.pointer or ""), **cause.params)
    code, details = _meaning(kind, context)
    member = shown(error["loc"][-1]) if error["loc"] else "/"
    place, message = shown(pointer) or "/", shown(error["msg"])
    known = {
        "place": place,
        "member": member,
        "problem": f"{place}: {message}",
        "problem_ar": f"{place}: {in_arabic(error)}",
    }
    return Refused(code, pointer=pointer, **(known | details))


def _meaning(kind: str, context: Mapping[str, Any]) -> tuple[ErrorCode, dict[str, object]]:
    """Our code for pydantic's ``kind`` of error, and what its text needs beside the place."""
    details: dict[str, object] = {}
    if kind in _CODES:  # found by a validator of ours
        code, details = ErrorCode(kind), dict(context)
    elif kind == "extra_forbidden":
        code = ErrorCode.UNKNOWN_MEMBER
    elif kind == "missing":
        code = ErrorCode.MEMBER_MISSING
    elif kind in {"enum", "literal_error"}:
        code, details = ErrorCode.VALUE_NOT_LISTED, {"expected": str(context.get("expected", "")).replace(" or ", ", ")}
    elif kind in _WRONG_SIZE:
        limits = ", ".join(f"{name} {context[name]}" for name in _LIMITS if context.get(name) is not None)
        code, details = ErrorCode.VALUE_OUT_OF_RANGE, {"limits": limits}
    elif kind.endswith(_WRONG_TYPE_ENDINGS):
        code = ErrorCode.VALUE_WRONG_TYPE
    else:
        code = ErrorCode.SCHEMA_INVALID
    return code, details


def _pointer(place: Sequence[object]) -> str:
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in place)
