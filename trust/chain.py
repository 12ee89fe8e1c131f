"""Checking that a certificate chains up to a pinned root."""

from collections.abc import Sequence
from datetime import datetime

from cryptography import x509
from cryptography.x509.verification import (
    Criticality,
    ExtensionPolicy,
    PolicyBuilder,
    Store,
    VerificationError as PathError,
)

from schemas.errors import ErrorCode
from trust.errors import VerificationError

_CA_POLICY = ExtensionPolicy.permit_all().require_present(
    x509.BasicConstraints, Criticality.CRITICAL, None
)
# Our certificates say their purpose in the subject, which the directory compares; the web's rules about server
# names and extended key usages do not apply to seals.
_END_POLICY = ExtensionPolicy.permit_all().require_present(x509.BasicConstraints, Criticality.CRITICAL, None)


def verify_chain(
    leaf: x509.Certificate,
    intermediates: Sequence[x509.Certificate],
    anchors: Sequence[x509.Certificate],
    at: datetime,
) -> None:
    """Check ``leaf`` up to one of ``anchors``, as of the instant ``at`` (aware).

    Raises:
        VerificationError: ``chain_invalid``.
    """
    try:
        verifier = (
            PolicyBuilder()
            .store(Store(list(anchors)))
            .time(at)
            .max_chain_depth(2)
            .extension_policies(ca_policy=_CA_POLICY, ee_policy=_END_POLICY)
            .build_client_verifier()
        )
        verifier.verify(leaf, list(intermediates))
    except (PathError, ValueError) as error:
        raise VerificationError(ErrorCode.CHAIN_INVALID, problem=str(error)) from error
