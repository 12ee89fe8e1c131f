"""Refusals: what is wrong, where, and what to do next, in Arabic and English.

    raise Refused(ErrorCode.RECIPIENT_UNKNOWN, pointer="/recipients/0/agency", agency="XYZ")

Every error shown to a person or a machine is a :class:`Refused` with a code of :class:`ErrorCode`; the texts
are in :data:`CATALOGUE`, the page ``docs/errors.md`` is generated from it.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal

from schemas.error_codes import ErrorCode, ErrorText
from schemas.error_texts import api, broker, letter, operation, token
from schemas.system_words import ARABIC

__all__ = ["CATALOGUE", "ErrorCode", "ErrorText", "Language", "Refused", "RefusedValue", "fill"]

Language = Literal["ar", "en"]

CATALOGUE: Mapping[ErrorCode, ErrorText] = MappingProxyType(
    {**api.TEXTS, **letter.TEXTS, **token.TEXTS, **broker.TEXTS, **operation.TEXTS}
)
"""Texts of every code."""

LONGEST_PARAM = 300


class _Params(dict[str, str]):
    def __missing__(self, key: str) -> str:
        return "…"


def fill(text: str, params: Mapping[str, object]) -> str:
    """Put ``params`` into the placeholders of ``text``.

    A value may come from outside: it is cut to :data:`LONGEST_PARAM` characters, and what does not print
    (controls, bidi and zero-width characters) becomes U+FFFD, so that a hostile value can neither fill nor
    disguise a message.
    """
    printable = {
        name: "".join(char if char.isprintable() else "\ufffd" for char in str(value)[:LONGEST_PARAM])
        for name, value in params.items()
    }
    return text.format_map(_Params(printable))


class Refused(Exception):  # noqa: N818 - reads as what happened: the letter was refused
    """Something was refused for a reason that the reader can act on.

    Attributes:
        code: stable code.
        pointer: JSON pointer (RFC 6901) to the offending member, if there is one.
        params: details for the texts. Where ``problem`` stands without ``problem_ar`` it is the operating system's
            word, which has its Arabic, or a library's, which is shown as it is.
        again: options of the command line with which the same can be done once more and not twice, by name.
    """

    def __init__(self, code: ErrorCode, *, pointer: str | None = None, **params: object) -> None:
        super().__init__(code, pointer)
        self.code = code
        self.pointer = pointer
        self.params = params
        self.again: dict[str, str] = {}

    @property
    def status(self) -> int:
        """HTTP status of the problem."""
        return CATALOGUE[self.code].status

    def text(self, language: Language) -> str:
        """What is wrong. The Arabic may have a second line: technical details, which may be in a library's English."""
        entry = CATALOGUE[self.code]
        if language == "en":
            return fill(entry.en, self.params)
        problem = str(self.params.get("problem", ""))
        given = {"problem_ar": ARABIC.get(problem, problem)} if problem else {}
        return fill(entry.ar, given | self.params)

    def next_step(self, language: Language) -> str:
        """What to do about it."""
        entry = CATALOGUE[self.code]
        return fill(entry.next_ar if language == "ar" else entry.next_en, self.params)

    def lines(self, language: Language) -> list[str]:
        """For a terminal: what is wrong, with its place and code; technical details, if any; what to do about it."""
        text, *details = self.text(language).split("\n")
        place = fill(" ({pointer})", {"pointer": self.pointer}) if self.pointer else ""
        return [f"{text}{place} [{self.code}]", *(f"  {each}" for each in (*details, self.next_step(language)))]

    def as_document(self) -> dict[str, Any]:
        """For a program: the code, the texts in both languages, and the pointer if there is one."""
        document = {
            "code": self.code.value,
            "detail": self.text("en"),
            "detail_ar": self.text("ar"),
            "next_step": self.next_step("en"),
            "next_step_ar": self.next_step("ar"),
        }
        return document if self.pointer is None else document | {"pointer": self.pointer}

    def __str__(self) -> str:
        # A member's name comes from outside as much as its value does.
        place = fill(" at {pointer}", {"pointer": self.pointer}) if self.pointer else ""
        return f"{self.code}: {self.text('en')}{place}"

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuilt, (type(self), self.code, self.pointer, self.params)


def _rebuilt(kind: type[Refused], code: ErrorCode, pointer: str | None, params: dict[str, object]) -> Refused:
    return kind(code, pointer=pointer, **params)


class RefusedValue(Refused, ValueError):  # noqa: N818 - as above
    """A refusal that a pydantic validator may raise: pydantic catches it and adds the place."""
