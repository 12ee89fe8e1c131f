"""What verification refuses."""

from schemas.errors import ErrorCode, Refused


class VerificationError(Refused):
    """A token, key, certificate or directory does not hold.

    Attributes:
        signature_good: True when the signature itself verified, and something beyond it (validity, content) failed.
    """

    def __init__(
        self, code: ErrorCode, *, pointer: str | None = None, signature_good: bool = False, **params: object
    ) -> None:
        super().__init__(code, pointer=pointer, **params)
        self.signature_good = signature_good
