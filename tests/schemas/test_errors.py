"""Errors: every code speaks both languages, and a hostile detail cannot disguise what it says."""

import ast
import copy
import errno
import os
import pickle
import re
import string
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import schemas
from agency_adapter.api.problems import TITLES
from schemas import error_texts
from schemas.error_texts import api, broker, letter, operation, token
from schemas.errors import CATALOGUE, LONGEST_PARAM, ErrorCode, ErrorText, Refused, RefusedValue, fill
from schemas.reasons import INCIDENT, NON_DELIVERY, RETURN, ReasonText
from trust.errors import VerificationError

GROUPS: list[Mapping[ErrorCode, ErrorText]] = [api.TEXTS, letter.TEXTS, token.TEXTS, broker.TEXTS, operation.TEXTS]
ROOMS = ("schemas", "trust", "broker", "agency_adapter", "gateway", "deploy")
TREE = Path(schemas.__file__).parent.parent
TEXTS: list[tuple[str, ErrorText | ReasonText]] = [
    *((code.value, text) for code, text in CATALOGUE.items()),
    *((reason.value, text) for reason, text in NON_DELIVERY.items()),
    *((reason.value, text) for reason, text in INCIDENT.items()),
    *((reason.value, text) for reason, text in RETURN.items()),
]
ARABIC = re.compile("[\u0620-\u064a]{2}")


def placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


def test_every_code_has_its_texts_in_one_group() -> None:
    assert set(CATALOGUE) == set(ErrorCode)
    assert sum(len(group) for group in GROUPS) == len(CATALOGUE), "a code stands in two groups"


@pytest.mark.parametrize("module", [api, letter, token, broker, operation], ids=lambda module: module.__name__)
def test_no_code_has_two_texts_in_its_module(module: object) -> None:
    # The later of two equal keys wins in silence.
    source = Path(str(getattr(module, "__file__", ""))).read_text(encoding="utf-8")
    [catalogue] = [node.value for node in ast.parse(source).body if isinstance(node, ast.AnnAssign)]
    assert isinstance(catalogue, ast.Dict)
    keys = [ast.unparse(key) for key in catalogue.keys if key is not None]
    assert len(keys) == len(set(keys))


def test_every_module_of_texts_is_in_the_catalogue() -> None:
    modules = {path.stem for path in Path(error_texts.__file__).parent.glob("*.py")} - {"__init__"}
    assert modules == {"api", "letter", "token", "broker", "operation"}


@pytest.mark.parametrize(("code", "text"), TEXTS, ids=[code for code, _ in TEXTS])
def test_a_code_says_in_arabic_and_english_what_is_wrong_and_what_to_do(
    code: str, text: ErrorText | ReasonText
) -> None:
    assert re.fullmatch(r"[a-z][a-z0-9_]{2,63}", code)
    for arabic in (text.ar, text.next_ar):
        assert ARABIC.search(arabic)
        assert arabic == arabic.strip()
    for english in (text.en, text.next_en):
        assert not re.search("[\u0600-\u06ff]", english)
        assert re.search("[a-z]{2}", english)
        assert english == english.strip()
    for arabic, english in ((text.ar, text.en), (text.next_ar, text.next_en)):
        assert {name.removesuffix("_ar") for name in placeholders(arabic)} == {
            name.removesuffix("_en") for name in placeholders(english)
        }
    for words in (text.next_ar, text.next_en):
        assert words.endswith((".", "}"))


@pytest.mark.parametrize("code", ErrorCode)
def test_every_status_is_one_that_the_api_has_a_title_for(code: ErrorCode) -> None:
    assert CATALOGUE[code].status in TITLES
    assert Refused(code).status == CATALOGUE[code].status


def _refusals() -> Iterator[tuple[str, ErrorCode, set[str]]]:
    """Every place in the product that raises a code with its details spelt out: place, code, names of details."""
    for room in ROOMS:
        for path in sorted((TREE / room).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if not (isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Attribute)):
                    continue
                code, kind = node.args[0], ast.unparse(node.func)
                if ast.unparse(code.value) != "ErrorCode" or any(word.arg is None for word in node.keywords):
                    continue
                if kind in {"Refused", "RefusedValue", "VerificationError"}:
                    place = f"{path.relative_to(TREE)}:{node.lineno}"
                    yield place, ErrorCode[code.attr], {word.arg or "" for word in node.keywords}


REFUSALS = list(_refusals())
OWN_WORDS = re.compile("[A-Za-z]{3}")


def _in_english_alone() -> Iterator[str]:
    """Places that put a sentence of ours into an error without its Arabic."""
    for room in ROOMS:
        for path in sorted((TREE / room).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                given = {word.arg: word.value for word in node.keywords} if isinstance(node, ast.Call) else {}
                if "problem" in given and "problem_ar" not in given and _is_a_sentence(given["problem"]):
                    yield f"{path.relative_to(TREE)}:{node.lineno}"


def _is_a_sentence(value: ast.expr) -> bool:
    parts = value.values if isinstance(value, ast.JoinedStr) else [value]
    return any(isinstance(part, ast.Constant) and OWN_WORDS.search(str(part.value)) for part in parts)


def test_a_problem_in_our_own_words_is_given_in_both_languages() -> None:
    assert list(_in_english_alone()) == []


@pytest.mark.parametrize(("place", "code", "details"), REFUSALS, ids=[place for place, _, _ in REFUSALS])
def test_whoever_refuses_gives_every_detail_that_the_text_asks_for(
    place: str, code: ErrorCode, details: set[str]
) -> None:
    text = CATALOGUE[code]
    asked = set().union(*(placeholders(words) for words in (text.ar, text.en, text.next_ar, text.next_en)))
    if "problem" in details:
        asked.discard("problem_ar")
    assert asked <= details, f"{place} leaves out {asked - details}"


ALWAYS_IN_ARABIC = {ErrorCode.SCHEMA_INVALID, ErrorCode.JSON_MALFORMED}
RAW = [code for code in ErrorCode if "{problem" in CATALOGUE[code].en and code not in ALWAYS_IN_ARABIC]


@pytest.mark.parametrize("code", RAW)
def test_no_foreign_sentence_stands_within_an_arabic_one(code: ErrorCode) -> None:
    raw = Refused(code, problem="The library says so", path="x", address="a", request="GET", log="l")
    sentence, details = raw.text("ar").split("\n")
    assert "library" not in sentence
    assert sentence.endswith(".")
    assert details == "التفاصيل التقنية: The library says so"
    assert len(raw.text("en").splitlines()) == 1


def test_what_the_operating_system_says_stands_in_the_language_of_the_text() -> None:
    problem = FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT)).strerror
    refused = Refused(ErrorCode.FILE_UNREADABLE, path="a.json", problem=problem)
    assert refused.text("ar") == "تعذّرت قراءة الملف a.json.\nالتفاصيل التقنية: لا يوجد ملف ولا مجلد بهذا الاسم"
    assert refused.text("en") == "The file a.json cannot be read: No such file or directory."
    hostile = Refused(ErrorCode.FILE_UNREADABLE, path="a\nb", problem="c\nd")
    assert hostile.text("ar") == "تعذّرت قراءة الملف a\ufffdb.\nالتفاصيل التقنية: c\ufffdd"


def test_a_problem_known_to_us_stands_in_the_language_of_the_text() -> None:
    refused = Refused(ErrorCode.FILE_UNREADABLE, path="a.json", problem_ar="ليس بترميز UTF-8", problem="not UTF-8")
    assert refused.text("ar").endswith("\nالتفاصيل التقنية: ليس بترميز UTF-8")


def test_a_refusal_on_a_terminal_has_its_code_in_the_first_line_of_each_language() -> None:
    refused = Refused(ErrorCode.FILE_UNREADABLE, pointer="/x", path="a", problem="closed")
    assert refused.lines("ar") == [
        "تعذّرت قراءة الملف a. (/x) [file_unreadable]",
        "  التفاصيل التقنية: closed",
        "  تحقق من المسار ومن الصلاحيات.",
    ]
    assert refused.lines("en") == [
        "The file a cannot be read: closed. (/x) [file_unreadable]",
        "  Check the path and your rights.",
    ]


def test_a_refusal_fills_its_details_into_both_languages() -> None:
    refused = Refused(ErrorCode.RECIPIENT_UNKNOWN, pointer="/recipients/0/agency", agency="XYZ")
    assert refused.text("en") == "The directory has no agency with the code XYZ."
    assert refused.text("ar") == "لا توجد في دليل الجهات جهة رمزها XYZ."
    assert refused.next_step("en") == "Check the code in the directory."
    assert refused.next_step("ar") == "راجع رمز الجهة في دليل الجهات."
    assert str(refused) == ("recipient_unknown: The directory has no agency with the code XYZ. at /recipients/0/agency")
    assert Refused(ErrorCode.RECIPIENT_UNKNOWN).text("en").endswith("the code ….")


@given(st.text(st.characters(codec=None), max_size=LONGEST_PARAM * 2))
@example("س" * (LONGEST_PARAM + 1))
@example("\u202e" * (LONGEST_PARAM + 1))
def test_a_hostile_detail_neither_fills_nor_disguises_a_message(value: str) -> None:
    filled = fill("<{x}>", {"x": value})
    assert filled.isprintable()
    assert len(filled) == min(len(value), LONGEST_PARAM) + 2
    assert filled[1:-1] == value[:LONGEST_PARAM] or not value[:LONGEST_PARAM].isprintable()


@pytest.mark.parametrize("value", ["\u202e", "\u2066", "\u200b", "\ufeff", "\x1b", "\n", "\x00", "\ud800"], ids=ascii)
def test_what_does_not_print_becomes_a_replacement_character(value: str) -> None:
    assert fill("{x}", {"x": f"أ{value}ب"}) == "أ\ufffdب"
    assert value not in str(Refused(ErrorCode.UNAUTHORISED, pointer=f"/a{value}b"))


def test_a_detail_is_never_read_as_a_text_with_details() -> None:
    assert fill("{x}", {"x": "{y} {x.__class__}", "y": "secret"}) == "{y} {x.__class__}"


@pytest.mark.parametrize(
    "refused",
    [
        Refused(ErrorCode.SCHEMA_INVALID, pointer="/x", problem="no", problem_ar="لا"),
        RefusedValue(ErrorCode.TEXT_NOT_NFC, position=3),
        VerificationError(ErrorCode.KEY_EXPIRED, signature_good=True, kid="k"),
    ],
    ids=lambda refused: type(refused).__name__,
)
def test_a_refusal_survives_being_pickled_and_copied(refused: Refused) -> None:
    for again in (pickle.loads(pickle.dumps(refused)), copy.copy(refused)):  # noqa: S301 - our own bytes
        assert type(again) is type(refused)
        assert (again.code, again.pointer, again.params) == (refused.code, refused.pointer, refused.params)
        assert str(again) == str(refused)
        assert getattr(again, "signature_good", None) == getattr(refused, "signature_good", None)
