"""UUIDv7 and agency codes."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.identifiers import is_agency_code, is_uuid7, uuid7


@given(st.integers(0, 2**48 - 1), st.binary(min_size=10, max_size=10))
def test_a_uuid7_carries_its_time_version_and_variant(unix_ms: int, noise: bytes) -> None:
    text = uuid7(unix_ms, noise)
    value = UUID(text)
    assert is_uuid7(text)
    assert value.int >> 80 == unix_ms
    assert value.version == 7
    assert value.variant == "specified in RFC 4122"


def test_a_uuid7_uses_seventy_four_random_bits() -> None:
    ones = UUID(uuid7(0, b"\xff" * 10)).int ^ UUID(uuid7(0, b"\x00" * 10)).int
    assert ones.bit_count() == 74
    single_bits = {UUID(uuid7(0, (1 << bit).to_bytes(10, "big"))).int for bit in range(80)}
    assert len(single_bits) == 75, "each of 74 bits makes another identifier, the other six make none"


def test_uuid7s_sort_by_time() -> None:
    assert uuid7(1, b"\xff" * 10) < uuid7(2, b"\x00" * 10)


@pytest.mark.parametrize(
    ("unix_ms", "noise"), [(-1, b"\x00" * 10), (2**48, b"\x00" * 10), (0, b"\x00" * 9), (0, b"\x00" * 11)]
)
def test_what_does_not_fit_makes_no_uuid7(unix_ms: int, noise: bytes) -> None:
    with pytest.raises(ValueError, match="UUIDv7"):
        uuid7(unix_ms, noise)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "019ca8b1-5a00-4abc-8def-0123456789ab",  # version 4
        "019ca8b1-5a00-7abc-cdef-0123456789ab",  # another variant
        "019CA8B1-5A00-7ABC-8DEF-0123456789AB",
        "019ca8b15a007abc8def0123456789ab",
        "{019ca8b1-5a00-7abc-8def-0123456789ab}",
        "019ca8b1-5a00-7abc-8def-0123456789ab\n",
        "019ca8b1-5a00-7abc-8def-0123456789a٠",
    ],
)
def test_what_is_no_uuid7_in_lower_case(text: str) -> None:
    assert not is_uuid7(text)


@pytest.mark.parametrize(
    ("text", "valid"),
    [
        ("MPW", True),
        ("AD", True),
        ("ABCDEFGH", True),
        ("A", False),
        ("ABCDEFGHI", False),
        ("Mpw", False),
        ("MP1", False),
        ("MPW\n", False),
        ("", False),
        ("МPW", False),
        ("MP W", False),
    ],
)
def test_an_agency_code_is_two_to_eight_capital_letters(text: str, valid: bool) -> None:
    assert is_agency_code(text) is valid
