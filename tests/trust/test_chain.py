"""Leaf, issuing authority, pinned root: nothing longer, shorter, weaker, older or otherwise issued."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from schemas.errors import ErrorCode
from tests.trust.made_chains import YEAR, Made, PrivateKey, made
from trust.chain import verify_chain
from trust.errors import VerificationError

NOW = datetime(2026, 11, 24, 9, tzinfo=UTC)
DAY = timedelta(days=1)

ROOT = made("root", NOW, path_length=1)
ISSUER = made("issuing", NOW, ROOT, path_length=0)
LEAF = made("MPW", NOW, ISSUER, authority=False)


def problem(leaf: Made, issuers: list[Made], anchors: list[Made], at: datetime = NOW) -> str:
    with pytest.raises(VerificationError) as caught:
        verify_chain(
            leaf.certificate, [item.certificate for item in issuers], [item.certificate for item in anchors], at
        )
    assert caught.value.code is ErrorCode.CHAIN_INVALID
    return str(caught.value.params["problem"])


def assert_good(leaf: Made, issuers: list[Made], anchors: list[Made], at: datetime = NOW) -> None:
    verify_chain(leaf.certificate, [item.certificate for item in issuers], [item.certificate for item in anchors], at)


def _p384() -> PrivateKey:
    return ec.generate_private_key(ec.SECP384R1())


def _rsa() -> PrivateKey:
    return rsa.generate_private_key(65537, 2048)


def test_two_levels_of_authority_are_good() -> None:
    assert_good(LEAF, [ISSUER], [ROOT])


def test_the_right_issuer_and_anchor_are_found_among_others() -> None:
    other_root = made("root", NOW, path_length=1)
    other_issuer = made("issuing", NOW, other_root, path_length=0)

    assert_good(LEAF, [other_issuer, ISSUER], [other_root, ROOT])


def test_a_leaf_signed_by_the_root_itself_is_refused() -> None:
    leaf = made("MPW", NOW, ROOT, authority=False)

    assert "leaf, issuing authority, root" in problem(leaf, [ISSUER], [ROOT])


def test_a_root_offered_as_the_leaf_is_refused() -> None:
    problem(ROOT, [], [ROOT])


@pytest.mark.parametrize("path_length", [None, 0, 3])
def test_a_further_level_of_authority_is_refused_whatever_path_length_allows_it(path_length: int | None) -> None:
    root = made("root", NOW)
    first = made("issuing", NOW, root, path_length=path_length)
    second = made("another", NOW, first, path_length=0)
    leaf = made("MPW", NOW, second, authority=False)

    problem(leaf, [first, second], [root])


def test_a_leaf_that_is_an_authority_is_refused() -> None:
    problem(made("MPW", NOW, ISSUER), [ISSUER], [ROOT])
    # Nor one that only its constraints give away.
    problem(made("MPW", NOW, ISSUER, signs_certificates=False), [ISSUER], [ROOT])


def test_a_certificate_issued_by_an_agency_is_refused() -> None:
    forged = made("MOF", NOW, LEAF, authority=False)

    problem(forged, [LEAF, ISSUER], [ROOT])


@pytest.mark.parametrize("missing", [x509.BasicConstraints, x509.KeyUsage, x509.SubjectKeyIdentifier])
def test_a_leaf_that_does_not_say_what_it_is_is_refused(missing: type[x509.ExtensionType]) -> None:
    problem(made("MPW", NOW, ISSUER, authority=False, left_out=[missing]), [ISSUER], [ROOT])


@pytest.mark.parametrize("missing", [x509.BasicConstraints, x509.KeyUsage])
def test_an_issuer_that_does_not_say_what_it_is_is_refused(missing: type[x509.ExtensionType]) -> None:
    issuer = made("issuing", NOW, ROOT, path_length=0, left_out=[missing])

    problem(made("MPW", NOW, issuer, authority=False), [issuer], [ROOT])


@pytest.mark.parametrize("level", ["root", "issuing", "leaf"])
@pytest.mark.parametrize("valid", [(-YEAR, -DAY), (DAY, YEAR)], ids=["expired", "not yet valid"])
def test_every_certificate_of_the_chain_must_be_valid(level: str, valid: tuple[timedelta, timedelta]) -> None:
    always = (-YEAR, YEAR)
    root = made("root", NOW, path_length=1, valid=valid if level == "root" else always)
    issuer = made("issuing", NOW, root, path_length=0, valid=valid if level == "issuing" else always)
    leaf = made("MPW", NOW, issuer, authority=False, valid=valid if level == "leaf" else always)

    problem(leaf, [issuer], [root])
    assert_good(leaf, [issuer], [root], NOW + sum(valid, timedelta()) / 2)  # at the middle of that validity


def test_another_root_is_no_anchor_even_under_the_same_name() -> None:
    problem(LEAF, [ISSUER], [made("root", NOW, path_length=1)])
    problem(LEAF, [ISSUER], [])


def test_an_issuer_of_the_same_name_signed_by_nobody_is_refused() -> None:
    impostor = made("issuing", NOW, made("root", NOW, path_length=1), path_length=0)

    problem(made("MPW", NOW, impostor, authority=False), [impostor, ISSUER], [ROOT])


def test_an_issuer_that_was_not_brought_along_is_missed() -> None:
    problem(LEAF, [], [ROOT])


def test_an_issuing_authority_pinned_as_anchor_is_refused() -> None:
    assert "leaf, issuing authority, root" in problem(LEAF, [], [ISSUER])


@pytest.mark.parametrize("level", ["root", "issuing", "leaf"])
@pytest.mark.parametrize("make", [_p384, _rsa, ed25519.Ed25519PrivateKey.generate])
def test_every_key_of_the_chain_must_be_p256(level: str, make: "type[PrivateKey]") -> None:
    root = made("root", NOW, path_length=1, key=make() if level == "root" else None)
    issuer = made("issuing", NOW, root, path_length=0, key=make() if level == "issuing" else None)
    leaf = made("MPW", NOW, issuer, authority=False, key=make() if level == "leaf" else None)

    problem(leaf, [issuer], [root])
