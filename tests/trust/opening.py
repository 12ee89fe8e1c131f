"""Opening directories in a test, at the authority's instant or later."""

from datetime import timedelta
from typing import Any

import pytest

from tests.support.authority import MadeAuthority
from trust.directory import Directory
from trust.errors import VerificationError


def opened(authority: MadeAuthority, raw: bytes, later: timedelta = timedelta(), **options: Any) -> Directory:
    return Directory.open(raw, [authority.root.certificate], authority.now + later, **options)


def refused(authority: MadeAuthority, raw: bytes, later: timedelta = timedelta(), **options: Any) -> VerificationError:
    with pytest.raises(VerificationError) as caught:
        opened(authority, raw, later, **options)
    return caught.value
