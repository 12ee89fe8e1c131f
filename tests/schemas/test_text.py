"""Text: normal form, characters that mislead the eye, folding for search."""

import unicodedata
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import ErrorCode, Refused, RefusedValue
from schemas.letter import parse_letter
from schemas.letter_checks import check_request
from schemas.letter_request import parse_request
from schemas.text import (
    fold_for_search,
    not_nfc_from,
    require_fit_fields,
    require_line,
    require_running,
    require_subject,
)
from tests.schemas.letters import NOW, SENDER, changed, letter, request
from tests.schemas.refusals import refused_with

Rule = Callable[[str], str]

MARKS_OF_DIRECTION = "\u061c\u200e\u200f"
EMBEDDINGS_AND_ISOLATES = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
ZERO_WIDTH = "\u200b\u2060\ufeff\u180e"
JOINERS = "\u200c\u200d"
OTHER_HIDDEN = "\u034f\u00ad\u115f\u1160\u17b4\u180b\u3164\ufe0f\uffa0\ufff9\U000e0041\U000e0100"
CONTROLS = "\x00\x07\x1b\x7f\x85"
BREAKS = "\t\n\r"
SEPARATORS = "\u2028\u2029"

CODES = {
    *MARKS_OF_DIRECTION,
    *EMBEDDINGS_AND_ISOLATES,
    *ZERO_WIDTH,
    *JOINERS,
    *OTHER_HIDDEN,
    *CONTROLS,
    *BREAKS,
    *SEPARATORS,
}
"""Refused in codes, numbers and names."""
BODIES = {*EMBEDDINGS_AND_ISOLATES, *ZERO_WIDTH, *CONTROLS, "\ufff9"}
SUBJECTS = BODIES | {*BREAKS, *SEPARATORS}


def named(character: str) -> str:
    return f"U+{ord(character):04X}"


@pytest.mark.parametrize("character", sorted(CODES), ids=named)
@pytest.mark.parametrize(
    ("rule", "refused_in_it"),
    [(require_line, CODES), (require_subject, SUBJECTS), (require_running, BODIES)],
    ids=["code", "subject", "body"],
)
def test_a_hidden_character_is_refused_with_its_position_or_allowed(
    rule: Rule, refused_in_it: set[str], character: str
) -> None:
    text = f"كتاب{character}رقم"
    if character not in refused_in_it:
        assert rule(text) == text
        return
    refused_with(lambda: rule(text), ErrorCode.TEXT_FORBIDDEN_CHARACTER, None, character=named(character), position=4)


def test_plain_arabic_latin_and_digits_pass_everywhere() -> None:
    text = "كتاب رقم ١٥/2026 (MOF) «عاجل» – 4,760.134 د.ك."
    assert require_line(text) == require_subject(text) == require_running(text) == text


@pytest.mark.parametrize(
    ("text", "position"),
    [("ا\u0654حمد", 0), ("كتاب ا\u0655", 5), ("e\u0301", 0), ("\u2126", 0), ("نص\u0651\u064e", 2)],
    ids=["alef and hamza", "at the end", "Latin", "a singleton", "marks out of order"],
)
def test_text_that_is_not_nfc_is_refused_with_its_position(text: str, position: int) -> None:
    for rule in (require_line, require_subject, require_running):
        with pytest.raises(RefusedValue) as refused:
            rule(text)
        assert (refused.value.code, refused.value.params) == (ErrorCode.TEXT_NOT_NFC, {"position": position})


def test_presentation_forms_are_nfc_and_stay() -> None:
    assert require_line("\ufefb") == "\ufefb"
    assert fold_for_search("\ufefb") == "لا"


@given(st.text())
def test_nfc_changes_nothing_before_the_position_that_is_reported(text: str) -> None:
    position = not_nfc_from(text)
    assert unicodedata.normalize("NFC", text)[:position] == text[:position]
    if unicodedata.is_normalized("NFC", text):
        assert position == len(text)


PLACES = [
    ("/outgoing_no", CODES),
    ("/sender", CODES),
    ("/recipients/0/post", CODES),
    ("/recipients/0/units", CODES),
    ("/references", CODES),
    ("/content/signatories/0/name", CODES),
    ("/content/subject", SUBJECTS),
    ("/content/body", BODIES),
]


BEYOND_FFFF = ["\U0001343f", "\U0001bca0", "\U0001d17a", "\U000e0041", "\U000e01ef"]
"""Not to be seen either: formats of hieroglyphs, shorthand and music, a tag, a selector."""


@pytest.mark.parametrize(("place", "refused_in_it"), PLACES, ids=[place for place, _ in PLACES])
@pytest.mark.parametrize("character", ["\u202e", "\u200f", "\u200b", "\n", "ا\u0654"], ids=ascii)
def test_each_text_of_a_request_is_judged_as_what_it_is(place: str, refused_in_it: set[str], character: str) -> None:
    text = f"كتاب{character}رقم"
    value: object = text
    pointer = place
    if place == "/sender":
        value, pointer = {"unit": text}, "/sender/unit"
    elif place == "/recipients/0/units":
        value, pointer = ["القسم", text], "/recipients/0/units/1"
    elif place == "/references":
        value = [{"agency": "MPW", "outgoing_no": text, "date": "2026-01-01"}]
        pointer = "/references/0/outgoing_no"
    claims = changed(request(), place, value)
    if len(character) == 1 and character not in refused_in_it:
        parse_request(claims)
        return
    code = ErrorCode.TEXT_FORBIDDEN_CHARACTER if len(character) == 1 else ErrorCode.TEXT_NOT_NFC
    refused_with(lambda: parse_request(claims), code, pointer, position=4)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("/outgoing_no", " "),
        ("/outgoing_no", "15 "),
        ("/outgoing_no", "\u00a015"),
        ("/content/subject", "     "),
        ("/content/subject", "\u200f\u200e\u200c\u061c\u200d"),
        ("/content/body", " \n\t"),
        ("/content/body", "\u3000"),
    ],
    ids=ascii,
)
def test_a_text_in_which_there_is_nothing_to_read_is_refused(place: str, value: str) -> None:
    refused_with(lambda: parse_request(changed(request(), place, value)), ErrorCode.SCHEMA_INVALID, place)


@pytest.mark.parametrize(
    ("place", "shortest", "longest"),
    [("/outgoing_no", 1, 200), ("/content/subject", 5, 250), ("/content/body", 1, 130_000)],
)
def test_texts_have_a_shortest_and_a_longest_length(place: str, shortest: int, longest: int) -> None:
    for length in (shortest, longest):
        parse_request(changed(request(), place, "ك" * length))
    for length in (shortest - 1, longest + 1):
        refused_with(
            lambda n=length: parse_request(changed(request(), place, "ك" * n)),  # type: ignore[misc] # called at once
            ErrorCode.SCHEMA_INVALID,
            place,
        )


@pytest.mark.parametrize(
    ("text", "code"), [("عن\u202eوان", ErrorCode.TEXT_FORBIDDEN_CHARACTER), ("ا\u0654", ErrorCode.TEXT_NOT_NFC)]
)
def test_texts_within_the_fields_are_judged_with_their_place(text: str, code: ErrorCode) -> None:
    for fields, pointer in (
        ({"note": text}, "/content/fields/note"),
        ({"list": ["x", {"a/b": text}]}, "/content/fields/list/1/a~1b"),
        ({"list": ({text: "x"},)}, "/content/fields/list/0"),
    ):
        refused_with(lambda f=fields: require_fit_fields(f, "/content/fields"), code, pointer)  # type: ignore[misc] # called at once
    require_fit_fields({"list": [1, True, None, "نص\nنص"]}, "/content/fields")


def test_a_number_that_is_cited_in_the_fields_hides_nothing() -> None:
    hidden = changed(request("reply/1"), "/content/fields/in_reply_to/outgoing_no", "7\u202e7")
    found = refused_with(
        lambda: check_request(parse_request(hidden), SENDER, NOW),
        ErrorCode.SCHEMA_INVALID,
        "/content/fields/in_reply_to/outgoing_no",
    )
    assert "\u202e" not in str(found)
    decomposed = changed(request("reply/1"), "/content/fields/in_reply_to/outgoing_no", "ا\u0654/7")
    refused_with(
        lambda: check_request(parse_request(decomposed), SENDER, NOW),
        ErrorCode.TEXT_NOT_NFC,
        "/content/fields/in_reply_to/outgoing_no",
    )


@pytest.mark.parametrize("place", ["/outgoing_no", "/sender/agency", "/hijri_date"])
@pytest.mark.parametrize("character", ["\u202e", "\u200b", "\n", "\x1b", *BEYOND_FFFF], ids=ascii)
def test_codes_that_arrive_hide_nothing_either(place: str, character: str) -> None:
    with pytest.raises(Refused) as refused:
        parse_letter(changed(letter(), place, f"MOF{character}7"))
    assert (refused.value.code, refused.value.pointer) == (ErrorCode.SCHEMA_INVALID, place)


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("كتــــاب", "كتاب"),
        ("مُحَمَّدٌ", "محمد"),
        ("هٰذا", "هذا"),
        ("أحمد", "احمد"),
        ("إحالة", "احاله"),
        ("آمال", "امال"),
        ("ٱلله", "الله"),
        ("ا\u0654حمد", "احمد"),
        ("مستشفى", "مستشفي"),
        ("وزارة", "وزاره"),
        ("مسؤول", "مسوول"),
        ("رئيس", "رييس"),
        ("٠١٢٣٤٥٦٧٨٩", "0123456789"),
        ("۰۱۲۳۴۵۶۷۸۹", "0123456789"),
        ("ﻻ", "لا"),
        ("MOF/Ⅳ", "mof/iv"),
        ("STRASSE", "strasse"),
        ("straße", "strasse"),
        ("وزا\u200fر\u200cة\u061c", "وزاره"),
        ("", ""),
    ],
)
def test_spellings_that_a_reader_takes_for_the_same_fold_to_one(text: str, folded: str) -> None:
    assert fold_for_search(text) == folded


@given(st.text(st.one_of(st.characters(), st.characters(min_codepoint=0x600, max_codepoint=0x6FF))))
def test_folding_twice_gives_the_same_as_folding_once(text: str) -> None:
    once = fold_for_search(text)
    assert fold_for_search(once) == once


def test_folding_any_single_character_is_idempotent() -> None:
    for code in range(0x20000):  # beyond stand ideographs, which have one spelling each
        once = fold_for_search(chr(code))
        assert fold_for_search(once) == once, hex(code)
