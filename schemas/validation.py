"""From pydantic's findings to one refusal with its code, JSON pointer and detail."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from schemas.errors import ErrorCode, Refused


def json_pointer(location: Iterable[int | str]) -> str:
    """A JSON pointer (RFC 6901) of member names and indexes."""
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in location)


def refusal_of(error: ValidationError, prefix: str = "") -> Refused:
    """The first finding of ``error`` as a refusal; ``prefix`` points to what was validated."""
    return refusal_of_findings(error.errors(include_url=False, include_input=False), prefix)


def refusal_of_findings(found: Sequence[Mapping[str, Any]], prefix: str = "") -> Refused:
    """As :func:`refusal_of`, from the list that pydantic gives. Values are never repeated in it."""
    first = found[0]
    place = prefix + json_pointer(first["loc"])
    cause = (first.get("ctx") or {}).get("error")
    if isinstance(cause, Refused):
        return Refused(cause.code, pointer=place, **cause.params)
    if first["type"] == "extra_forbidden":
        return Refused(ErrorCode.UNKNOWN_MEMBER, pointer=place, member=first["loc"][-1])
    return Refused(ErrorCode.SCHEMA_INVALID, pointer=place, problem=f"{place or '/'}: {first['msg']}")
