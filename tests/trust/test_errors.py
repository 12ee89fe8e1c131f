"""A verification error keeps what it says when it passes from one process to another."""

import pickle

import pytest

from schemas.errors import ErrorCode, Refused
from trust.errors import VerificationError


@pytest.mark.parametrize("signature_good", [True, False])
def test_an_error_survives_pickling_whole(signature_good: bool) -> None:
    error = VerificationError(
        ErrorCode.KEY_EXPIRED, pointer="/agencies/0", signature_good=signature_good, kid="MPW.seal.x"
    )

    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes

    assert type(again) is VerificationError
    assert (again.code, again.pointer, again.params) == (error.code, error.pointer, error.params)
    assert again.signature_good is signature_good
    assert str(again) == str(error)


def test_an_error_is_a_refusal_whose_signature_is_not_taken_for_good() -> None:
    error = VerificationError(ErrorCode.TOKEN_MALFORMED)

    assert isinstance(error, Refused)
    assert not error.signature_good


def test_a_hostile_detail_neither_breaks_nor_disguises_the_message() -> None:
    error = VerificationError(ErrorCode.KEY_UNKNOWN, kid="a\nVERIFIED\u202e\x1b[2J" + "x" * 10_000)

    for text in (error.text("ar"), error.text("en"), str(error)):
        assert text.isprintable()
        assert len(text) < 500
