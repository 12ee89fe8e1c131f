"""From pydantic's findings to one refusal with its code, JSON pointer and detail."""

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError

from schemas.errors import ErrorCode, Refused, fill

_OBJECT = "يجب أن تكون القيمة كائن JSON"
_LIST = "يجب أن تكون القيمة قائمة"
_TEXT = "يجب أن تكون القيمة نصاً"
_WHOLE = "يجب أن تكون القيمة عدداً صحيحاً"
_NO_SUCH_INSTANT = "لا وجود لهذا التاريخ أو الوقت في التقويم"
_NOT_LISTED = "القيمة ليست من القيم المقررة: {expected}"
_ARABIC: Mapping[str, str] = MappingProxyType(
    {
        "missing": "بيان لازم غير موجود",
        "extra_forbidden": "بيان غير معروف",
        "model_type": _OBJECT,
        "dict_type": _OBJECT,
        "list_type": _LIST,
        "tuple_type": _LIST,
        "string_type": _TEXT,
        "string_unicode": _TEXT,
        "string_pattern_mismatch": "النص ليس على الصيغة المقررة",
        "string_too_short": "الحد الأدنى لعدد الأحرف {min_length}",
        "string_too_long": "الحد الأقصى لعدد الأحرف {max_length}",
        "too_short": "الحد الأدنى لعدد العناصر {min_length}",
        "too_long": "الحد الأقصى لعدد العناصر {max_length}",
        "enum": _NOT_LISTED,
        "literal_error": _NOT_LISTED,
        "bool_type": "يجب أن تكون القيمة true أو false",
        "int_type": _WHOLE,
        "int_parsing": _WHOLE,
        "path_type": "يجب أن تكون القيمة مساراً",
        "greater_than_equal": "يجب ألا تقل القيمة عن {ge}",
        "less_than_equal": "يجب ألا تزيد القيمة على {le}",
        "datetime_type": "يجب أن تكون القيمة تاريخاً ووقتاً بصيغة RFC 3339 مع فارق التوقيت",
        "datetime_parsing": _NO_SUCH_INSTANT,
        "datetime_from_date_parsing": _NO_SUCH_INSTANT,
        "date_parsing": "لا وجود لهذا اليوم في التقويم",
        "blank": "يجب أن يكون في النص ما يُقرأ",
        "blank_ends": "يجب ألا يبدأ النص بمسافة ولا ينتهي بها",
    }
)
"""By pydantic's type of error, and by those of our own validators; ``{…}`` stands for a detail of it."""


def json_pointer(location: Iterable[int | str]) -> str:
    """A JSON pointer (RFC 6901) of member names and indexes."""
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in location)


def schema_invalid(pointer: str, ar: str, en: str) -> Refused:
    """The refusal of a member that is missing or wrong; ``ar`` and ``en`` say how."""
    place = pointer or "/"
    return Refused(ErrorCode.SCHEMA_INVALID, pointer=pointer, problem_ar=f"{place}: {ar}", problem=f"{place}: {en}")


def in_arabic(finding: Mapping[str, Any]) -> str:
    """One of pydantic's findings in Arabic; of a type that has no words here, the type."""
    details = dict(finding.get("ctx") or {})
    if "expected" in details:
        details["expected"] = str(details["expected"]).replace(" or ", ", ")
    return fill(_ARABIC.get(finding["type"], "القيمة غير صحيحة ({type})"), details | {"type": finding["type"]})


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
    return schema_invalid(place, in_arabic(first), first["msg"])
