"""What verification refuses with."""

from schemas.errors import ErrorCode, Refused


class VerificationError(Refused):
    """A token, key, certificate or directory was not believed.

    Attributes:
        signature_good: True when the signature itself was verified with a key of the directory and only the key's
            validity or the time of signing failed: the owner of the key did sign these bytes, and may be answered.
    """

    def __init__(
        self,
        code: ErrorCode,
        *,
        pointer: str | None = None,
        signature_good: bool = False,
        **params: object,
    ) -> None:
        super().__init__(code, pointer=pointer, **params)
        self.signature_good = signature_good

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuilt, (self.code, self.pointer, self.signature_good, self.params)


def _rebuilt(
    code: ErrorCode, pointer: str | None, signature_good: bool, params: dict[str, object]
) -> VerificationError:
    return VerificationError(code, pointer=pointer, signature_good=signature_good, **params)
