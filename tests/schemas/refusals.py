"""Expecting a refusal: its code, its place and its details."""

import re
from collections.abc import Callable

import pytest

from schemas.errors import ErrorCode, Refused


def assert_speaks_arabic(found: Refused) -> None:
    """Its Arabic text says where and what in words, and is not the English one with an Arabic beginning."""
    text = found.text("ar")
    assert (found.pointer or "/") in text
    said = text.replace(found.pointer or "/", "").partition(": ")[2]
    assert re.search("[\u0620-\u064a]{2}", said), text
    assert "…" not in said, text
    for word in re.findall("[A-Za-z]{2,}", re.sub("'[^']*'", "", said)):
        assert word in {"JSON", "RFC", "true", "false", "content", "encrypted"}, text


def refused_with(judged: Callable[[], object], code: ErrorCode, pointer: str | None, **params: object) -> Refused:
    """``judged`` must refuse with ``code`` at ``pointer``, and ``params`` among the details."""
    with pytest.raises(Refused) as caught:
        judged()
    found = caught.value
    assert (found.code, found.pointer) == (code, pointer), str(found)
    if code is ErrorCode.SCHEMA_INVALID:
        assert_speaks_arabic(found)
    assert params.items() <= found.params.items()
    return found
