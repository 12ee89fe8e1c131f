"""Expecting a refusal: its code, its place and its details."""

from collections.abc import Callable

import pytest

from schemas.errors import ErrorCode, Refused


def refused_with(judged: Callable[[], object], code: ErrorCode, pointer: str | None, **params: object) -> Refused:
    """``judged`` must refuse with ``code`` at ``pointer``, and ``params`` among the details."""
    with pytest.raises(Refused) as caught:
        judged()
    found = caught.value
    assert (found.code, found.pointer) == (code, pointer), str(found)
    assert params.items() <= found.params.items()
    return found
