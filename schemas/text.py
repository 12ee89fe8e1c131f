"""Rules for text: normal form, characters that mislead the eye, and folding for search.

Truth is NFC. NFKC and folding make a second text, for searching only; the stored one is never altered.
Source: the reference rules of correspondence, *Text, numbers, identifiers*.
"""

import re
import unicodedata
from bisect import bisect_left
from collections.abc import Callable
from typing import Annotated, Any

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from schemas.errors import ErrorCode, Refused, RefusedValue
from schemas.validation import json_pointer

LONGEST_LINE = 200
LONGEST_TEXT = 130_000
"""Characters of a body; with two bytes an Arabic letter it fills the largest payload."""

# The same classes serve Python, the validator's Rust and, in the published schemas, ECMA-262. Besides the
# bidi controls: zero-width characters, fillers and variation selectors, line and paragraph separators, soft
# hyphen, controls, interlinear marks. Beyond U+FFFF, where the dialects have no escape in common, the characters
# themselves: formats of three scripts, tags and further selectors.
_HIDDEN = (
    r"\u0000-\u001f\u007f-\u009f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f"
    r"\u200b-\u200f\u2028-\u202e\u2060-\u206f\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb"
    "\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
_OVERRIDING = (
    r"\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u180e"
    r"\u200b\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
)

LINE_PATTERN = f"^[^{_HIDDEN}]+$"
"""Codes, numbers, names of posts and files: whoever reads one must see all of it."""

RUNNING_PATTERN = f"^[^{_OVERRIDING}]*$"
"""Subject and body. The marks U+200C, U+200D, U+200E, U+200F and U+061C are allowed, since pasted text is
full of them; embeddings, overrides and isolates are not."""

SUBJECT_PATTERN = f"^[^\\t\\n\\r\\u2028\\u2029{_OVERRIDING}]+$"
"""As running text, on one line."""

_HIDDEN_CHARACTER = re.compile(f"[{_HIDDEN}]")
_OVERRIDING_CHARACTER = re.compile(f"[{_OVERRIDING}]")
_UNFIT_FOR_SUBJECT = re.compile(f"[\\t\\n\\r\\u2028\\u2029{_OVERRIDING}]")


def require_line(text: str) -> str:
    """``text`` as it is, if it is fit for a code, number or name.

    Raises:
        RefusedValue: ``text_forbidden_character`` or ``text_not_nfc``, with the position, counted from 0.
    """
    return _require(text, _HIDDEN_CHARACTER)


def require_running(text: str) -> str:
    """``text`` as it is, if it is fit for a body. Raises as :func:`require_line`."""
    return _require(text, _OVERRIDING_CHARACTER)


def require_subject(text: str) -> str:
    """``text`` as it is, if it is fit for a subject: one line. Raises as :func:`require_line`."""
    return _require(text, _UNFIT_FOR_SUBJECT)


def require_visible(text: str) -> str:
    """``text`` as it is, if there is something to read in it."""
    if not any(char.isprintable() and not char.isspace() for char in text):
        raise PydanticCustomError("blank", "should have something to read in it")
    return text


def require_trimmed(text: str) -> str:
    """``text`` as it is, if it neither begins nor ends with space: "15 " would be another number than "15"."""
    if text != text.strip():
        raise PydanticCustomError("blank_ends", "should neither begin nor end with space")
    return text


def _require(text: str, forbidden: re.Pattern[str]) -> str:
    found = forbidden.search(text)
    if found is not None:
        raise RefusedValue(
            ErrorCode.TEXT_FORBIDDEN_CHARACTER, character=f"U+{ord(found[0]):04X}", position=found.start()
        )
    if not unicodedata.is_normalized("NFC", text):
        raise RefusedValue(ErrorCode.TEXT_NOT_NFC, position=not_nfc_from(text))
    return text


_CHARACTERS_BEHIND = 100


def not_nfc_from(text: str) -> int:
    """Position of the first character that NFC would change, counted from 0; the length if there is none.

    Normalising sorts a run of marks in a time that grows with the square of its length: 20 s for a letter full of
    them. So no more is normalised than the shortest beginning that is not normal, in which all marks but the last
    are in order, and a few characters behind it.
    """
    lengths = range(len(text) + 1)
    end = bisect_left(lengths, True, key=lambda length: not unicodedata.is_normalized("NFC", text[:length]))
    begin = text[: end + _CHARACTERS_BEHIND]
    normal = unicodedata.normalize("NFC", begin)
    pairs = zip(begin, normal, strict=False)
    return next((at for at, (had, has) in enumerate(pairs) if had != has), min(len(begin), len(normal)))


def require_fit_fields(value: Any, pointer: str) -> None:
    """Refuse unfit text anywhere in the type-specific fields; their own models judge codes more strictly.

    Args:
        value: the fields, or a part of them.
        pointer: JSON pointer to ``value``.

    Raises:
        Refused: as :func:`require_running`, with the JSON pointer of the text.
    """
    if isinstance(value, str):
        _require_fit(value, require_running, pointer)
    elif isinstance(value, dict):
        for name, inner in value.items():
            _require_fit(name, require_line, pointer)
            require_fit_fields(inner, pointer + json_pointer([name]))
    elif isinstance(value, (list, tuple)):
        for index, inner in enumerate(value):
            require_fit_fields(inner, f"{pointer}/{index}")


def _require_fit(text: str, rule: Callable[[str], str], pointer: str) -> None:
    try:
        rule(text)
    except RefusedValue as error:
        raise Refused(error.code, pointer=pointer, **error.params) from error


PlainLine = Annotated[
    str,
    Field(min_length=1, max_length=LONGEST_LINE, json_schema_extra={"pattern": LINE_PATTERN}),
    AfterValidator(require_line),
    AfterValidator(require_trimmed),
]
"""A code, number, post or file name, as the API takes it."""

Subject = Annotated[
    str,
    Field(min_length=5, max_length=250, json_schema_extra={"pattern": SUBJECT_PATTERN}),
    AfterValidator(require_subject),
    AfterValidator(require_visible),
]
"""One subject, one line."""

RunningText = Annotated[
    str,
    Field(min_length=1, max_length=LONGEST_TEXT, json_schema_extra={"pattern": RUNNING_PATTERN}),
    AfterValidator(require_running),
    AfterValidator(require_visible),
]
"""A body, as the API takes it."""

WireLine = Annotated[str, Field(min_length=1, max_length=LONGEST_LINE, pattern=LINE_PATTERN)]
"""As :data:`PlainLine`, on the wire, where the strict JSON reader has already judged the normal form."""

WireSubject = Annotated[str, Field(min_length=1, max_length=250)]
WireText = Annotated[str, Field(min_length=1)]

_MARKS = re.compile("[\u0640\u064b-\u0652\u0670\u00ad\u061c\u200c-\u200f]")
"""Tatweel, vowel signs, and the marks that running text may hide."""
_FOLDED = str.maketrans(
    {"أ": "ا", "إ": "ا", "آ": "ا", "ٱ": "ا", "ى": "ي", "ة": "ه", "ؤ": "و", "ئ": "ي"}
    | {chr(0x660 + digit): str(digit) for digit in range(10)}
    | {chr(0x6F0 + digit): str(digit) for digit in range(10)}
)


def fold_for_search(text: str) -> str:
    """The form under which ``text`` is searched: spellings that a reader takes for the same become one.

    Folding twice gives the same as folding once.
    """
    folded = unicodedata.normalize("NFC", _MARKS.sub("", unicodedata.normalize("NFKC", text)))
    return unicodedata.normalize("NFC", _MARKS.sub("", folded.translate(_FOLDED).casefold()))
