"""Strict JSON: what two readers could read differently is refused, each kind with its own code."""

import json
import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import ErrorCode
from trust import ijson
from trust.errors import VerificationError

LIMIT = 100_000


def parse(raw: bytes) -> dict[str, Any]:
    return ijson.parse(raw, max_bytes=LIMIT)


def refused(raw: bytes) -> VerificationError:
    with pytest.raises(VerificationError) as caught:
        parse(raw)
    return caught.value


def nested(depth: int, opening: str = '{"a":', closing: str = "}", core: str = "1") -> bytes:
    """An object of ``depth`` levels, the outermost included."""
    return (opening * depth + core + closing * depth).encode()


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b'{"a":1,"a":1}', ErrorCode.PAYLOAD_MEMBER_DUPLICATE),
        (b'{"a":1,"\\u0061":2}', ErrorCode.PAYLOAD_MEMBER_DUPLICATE),
        (b'{"x":{"b":[{"a":1,"a":2}]}}', ErrorCode.PAYLOAD_MEMBER_DUPLICATE),
        (nested(33), ErrorCode.PAYLOAD_TOO_DEEP),
        (b'{"a":' + b"[" * 32 + b"]" * 32 + b"}", ErrorCode.PAYLOAD_TOO_DEEP),
        (b'{"a":' + b"[" * 40_000 + b"]" * 40_000 + b"}", ErrorCode.PAYLOAD_TOO_DEEP),
        (b'{"a":9007199254740992}', ErrorCode.NUMBER_OUT_OF_RANGE),
        (b'{"a":-9007199254740992}', ErrorCode.NUMBER_OUT_OF_RANGE),
        (b'{"a":' + b"9" * 50_000 + b"}", ErrorCode.NUMBER_OUT_OF_RANGE),
        (b'{"a":1.5}', ErrorCode.NUMBER_NOT_INTEGER),
        (b'{"a":1.0}', ErrorCode.NUMBER_NOT_INTEGER),
        (b'{"a":1e2}', ErrorCode.NUMBER_NOT_INTEGER),
        (b'{"a":1E400}', ErrorCode.NUMBER_NOT_INTEGER),
        (b'{"a":NaN}', ErrorCode.NUMBER_NOT_FINITE),
        (b'{"a":Infinity}', ErrorCode.NUMBER_NOT_FINITE),
        (b'{"a":-Infinity}', ErrorCode.NUMBER_NOT_FINITE),
        (b'{"a":"\\ud800"}', ErrorCode.SURROGATE_LONE),
        (b'{"a":"\\udc00x"}', ErrorCode.SURROGATE_LONE),
        (b'{"a":"\\udc00\\ud800"}', ErrorCode.SURROGATE_LONE),
        (b'{"\\ud800":1}', ErrorCode.SURROGATE_LONE),
        ('{"a":"e\u0301"}'.encode(), ErrorCode.TEXT_NOT_NFC),
        (b'{"a":"e\\u0301"}', ErrorCode.TEXT_NOT_NFC),
        ('{"ا\u0653":1}'.encode(), ErrorCode.TEXT_NOT_NFC),
        ('{"a":"\ufdd0"}'.encode(), ErrorCode.TEXT_FORBIDDEN_CHARACTER),
        ('{"a":"\U0010ffff"}'.encode(), ErrorCode.TEXT_FORBIDDEN_CHARACTER),
        ('{"a":"\U0001fffe"}'.encode(), ErrorCode.TEXT_FORBIDDEN_CHARACTER),
        (b'{"a":"\\ufffe"}', ErrorCode.TEXT_FORBIDDEN_CHARACTER),
        (b"[]", ErrorCode.PAYLOAD_NOT_OBJECT),
        (b'"text"', ErrorCode.PAYLOAD_NOT_OBJECT),
        (b"null", ErrorCode.PAYLOAD_NOT_OBJECT),
        (b"7", ErrorCode.PAYLOAD_NOT_OBJECT),
        (b"", ErrorCode.JSON_MALFORMED),
        (b" ", ErrorCode.JSON_MALFORMED),
        (b"{", ErrorCode.JSON_MALFORMED),
        (b'{"a":1,}', ErrorCode.JSON_MALFORMED),
        (b"{'a':1}", ErrorCode.JSON_MALFORMED),
        (b'{"a":01}', ErrorCode.JSON_MALFORMED),
        (b'{"a":"\t"}', ErrorCode.JSON_MALFORMED),
        (b'{"a":1}{"a":1}', ErrorCode.JSON_MALFORMED),
        (b'{"a":1} x', ErrorCode.JSON_MALFORMED),
        (b'\xef\xbb\xbf{"a":1}', ErrorCode.JSON_MALFORMED),
        (b'{"a":"\xff"}', ErrorCode.JSON_MALFORMED),
        (b'{"a":"\xed\xa0\x80"}', ErrorCode.JSON_MALFORMED),
        (b'{"a":"\xc0\xaf"}', ErrorCode.JSON_MALFORMED),
        ('{"a":1}'.encode("utf-16"), ErrorCode.JSON_MALFORMED),
        (b" " * (LIMIT - 1) + b"{}", ErrorCode.PAYLOAD_TOO_LARGE),
    ],
    ids=lambda value: (
        None if isinstance(value, ErrorCode) else value[:24].decode("latin-1").encode("unicode_escape").decode()
    ),
)
def test_what_could_be_read_in_two_ways_is_refused(raw: bytes, code: ErrorCode) -> None:
    assert refused(raw).code is code


@pytest.mark.parametrize(
    ("raw", "ar", "en"),
    [
        (b"{", "خطأ عند الحرف 1", "Expecting property name enclosed in double quotes at character 1"),
        (b'{"a":"\xff"}', "ليس بترميز UTF-8 عند البايت 6", "not UTF-8 at byte 6"),
    ],
)
def test_what_is_no_json_is_told_with_its_place_in_both_languages(raw: bytes, ar: str, en: str) -> None:
    error = refused(raw)
    assert error.text("ar") == f"المحتوى ليس JSON سليماً: {ar}."
    assert error.text("en") == f"The content is not well-formed JSON: {en}."


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (b"{}", {}),
        (b' \r\n{"a" : 1}\t', {"a": 1}),
        (b'{"a":9007199254740991,"b":-9007199254740991}', {"a": 2**53 - 1, "b": 1 - 2**53}),
        (b'{"a":-0}', {"a": 0}),
        (b'{"a":"\\ud83d\\ude00"}', {"a": "😀"}),
        ('{"الموضوع":"آ"}'.encode(), {"الموضوع": "آ"}),
        (b'{"a":{"a":1},"b":{"a":1}}', {"a": {"a": 1}, "b": {"a": 1}}),
        (b" " * (LIMIT - 2) + b"{}", {}),
    ],
)
def test_what_has_one_meaning_is_read(raw: bytes, value: dict[str, Any]) -> None:
    assert parse(raw) == value


def test_thirty_two_levels_are_read_in_objects_and_arrays() -> None:
    assert parse(nested(32)) == json.loads(nested(32))
    mixed = nested(16, '{"a":[', "]}")
    assert parse(mixed) == json.loads(mixed)
    # Many brackets side by side are not depth.
    wide = b'{"a":[' + b",".join([b"[]"] * 500) + b"]}"
    assert len(parse(wide)["a"]) == 500


def test_the_place_of_a_text_is_given_as_a_json_pointer() -> None:
    error = refused('{"a/b":[0,{"c~":"abe\u0301"}]}'.encode())

    assert (error.pointer, error.params["position"]) == ("/a~1b/1/c~0", 2)


def test_a_duplicate_is_named() -> None:
    assert refused(b'{"x":1,"y":2,"y":3,"x":4}').params == {"member": "y"}


def test_no_message_about_hostile_text_fails_to_be_written() -> None:
    error = refused(b'{"\\ud800\\u202e":"e\\u0301"}')

    str(error).encode()
    error.text("ar").encode()


_NAMES = st.text(max_size=6)
_VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**60), 2**60), st.floats(), st.text(max_size=8)),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(_NAMES, inner, max_size=4)),
    max_leaves=12,
)
_NORMAL = st.text(st.characters(exclude_categories=("Cs", "Cn", "Co")), max_size=8).map(
    lambda text: unicodedata.normalize("NFC", text)
)
_LAWFUL = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(1 - 2**53, 2**53 - 1), _NORMAL),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(_NORMAL, inner, max_size=4)),
    max_leaves=12,
)


def _reading(raw: bytes) -> dict[str, Any] | None:
    """What the strict reader makes of ``raw``; None when it refuses."""
    try:
        return parse(raw)
    except VerificationError:
        return None


@given(value=st.dictionaries(_NAMES, _VALUES, max_size=4), ascii_only=st.booleans(), indent=st.sampled_from([None, 1]))
def test_what_is_read_means_to_us_what_it_means_to_json(
    value: dict[str, Any], ascii_only: bool, indent: int | None
) -> None:
    raw = json.dumps(value, ensure_ascii=ascii_only, indent=indent).encode("utf-8", "surrogatepass")

    reading = _reading(raw)

    assert reading is None or reading == json.loads(raw) == value


@given(raw=st.one_of(st.binary(max_size=60), st.text('{}[]":,\\u0a1e.-NI ', max_size=40).map(str.encode)))
def test_arbitrary_bytes_are_refused_or_mean_what_they_mean_to_json(raw: bytes) -> None:
    reading = _reading(raw)

    assert reading is None or reading == json.loads(raw)


@given(st.dictionaries(_NORMAL, _LAWFUL, max_size=4))
def test_what_is_written_reads_back(value: dict[str, Any]) -> None:
    assert parse(ijson.dump(value)) == value


@given(value=st.dictionaries(_NORMAL, _LAWFUL, min_size=1, max_size=3), data=st.data())
def test_a_duplicate_is_refused_at_every_level(value: dict[str, Any], data: st.DataObject) -> None:
    objects = [value]
    for found in objects:
        children = [*found.values()]
        for child in children:
            if isinstance(child, dict) and child:
                objects.append(child)
            elif isinstance(child, list):
                children += child
    target = data.draw(st.sampled_from(objects))
    name = data.draw(st.sampled_from(sorted(target)))

    assert refused(_written_twice(value, target, name).encode()).code is ErrorCode.PAYLOAD_MEMBER_DUPLICATE


def _written_twice(value: Any, target: dict[str, Any], name: str) -> str:
    """JSON of ``value`` in which the object ``target`` has the member ``name`` a second time."""
    if isinstance(value, dict):
        members = [json.dumps(key) + ":" + _written_twice(item, target, name) for key, item in value.items()]
        if value is target:
            members.append(json.dumps(name) + ":0")
        return "{" + ",".join(members) + "}"
    if isinstance(value, list):
        return "[" + ",".join(_written_twice(item, target, name) for item in value) + "]"
    return json.dumps(value)


@pytest.mark.parametrize("value", [{"a": 1.5}, {"a": [{"b": 0.0}]}, {"a": (1.5,)}, {"a": {1}}, {"a": b"x"}])
def test_what_no_reader_takes_is_never_written(value: object) -> None:
    with pytest.raises(TypeError):
        ijson.dump(value)
