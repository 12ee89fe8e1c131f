"""From a certificate to the pinned root: leaf, issuing authority, root, and nothing longer or shorter."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509 import verification
from cryptography.x509.verification import Criticality, ExtensionPolicy, PolicyBuilder, Store

from schemas.errors import ErrorCode
from trust.errors import VerificationError

CHAIN_LENGTH: Final = 3
"""The root signs issuing authorities only, and these sign no further ones."""


def _no_authority(
    _policy: verification.Policy, _certificate: x509.Certificate, constraints: x509.BasicConstraints
) -> None:
    if constraints.ca:
        raise ValueError("a leaf must not be an authority")


_LEAF: Final = (
    ExtensionPolicy.webpki_defaults_ee()
    .require_present(x509.BasicConstraints, Criticality.CRITICAL, _no_authority)
    .require_present(x509.KeyUsage, Criticality.CRITICAL, None)
    .require_present(x509.SubjectKeyIdentifier, Criticality.NON_CRITICAL, None)
    # What a leaf may be used for is its purpose in the directory, not an extended key usage of the web's.
    .may_be_present(x509.ExtendedKeyUsage, Criticality.AGNOSTIC, None)
)
_AUTHORITY: Final = ExtensionPolicy.webpki_defaults_ca()


def verify_chain(
    leaf: x509.Certificate,
    intermediates: Sequence[x509.Certificate],
    anchors: Sequence[x509.Certificate],
    at: datetime,
) -> None:
    """Check the path from ``leaf`` over one of ``intermediates`` to one of ``anchors`` (RFC 5280).

    Args:
        leaf: with a P-256 key.
        intermediates: issuing authorities; not trusted by themselves.
        anchors: pinned roots.
        at: the instant at which all must be valid.

    Raises:
        VerificationError: ``chain_invalid``.
    """
    if not anchors:
        raise _invalid("لا جذر معتمد يُرجع إليه", "no root is pinned")
    verifier = (
        PolicyBuilder()
        .store(Store(list(anchors)))
        .time(at)
        .max_chain_depth(1)
        .extension_policies(ca_policy=_AUTHORITY, ee_policy=_LEAF)
        .build_client_verifier()
    )
    try:
        chain = verifier.verify(leaf, list(intermediates)).chain
        weak = [
            item
            for item in chain
            if not (
                isinstance(key := item.public_key(), ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1)
            )
        ]
    except verification.VerificationError as error:
        raise VerificationError(ErrorCode.CHAIN_INVALID, problem=str(error)) from None
    except (ValueError, UnsupportedAlgorithm):
        raise _invalid("فيها شهادة غير سليمة", "a certificate in it is malformed") from None
    if len(chain) != CHAIN_LENGTH:
        raise _invalid("يجب أن تكون شهادة فسلطة إصدار فجذراً", "it must be leaf, issuing authority, root")
    if weak:
        raise _invalid("فيها مفتاح ليس من نوع P-256", "a key in it is not a P-256 key")


def _invalid(ar: str, en: str) -> VerificationError:
    return VerificationError(ErrorCode.CHAIN_INVALID, problem_ar=ar, problem=en)
