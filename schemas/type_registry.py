"""The registry of letter types: every module in the package :mod:`schemas.types` that defines ``TYPE``.

Adding a type is adding one module there and nothing else.
"""

import importlib
import pkgutil
from collections.abc import Mapping
from functools import cache
from types import MappingProxyType

from schemas.errors import ErrorCode, Refused
from schemas.letter_type import LetterType


@cache
def all_types() -> Mapping[str, LetterType]:
    """Every type, by name.

    Raises:
        ValueError: if two modules define the same type, or one defines none; found at the first use.
    """
    package = importlib.import_module("schemas.types")
    found: dict[str, LetterType] = {}
    for module in sorted(pkgutil.iter_modules(package.__path__), key=lambda module: module.name):
        candidate = getattr(importlib.import_module(f"schemas.types.{module.name}"), "TYPE", None)
        if not isinstance(candidate, LetterType) or candidate.name in found:
            raise ValueError(f"schemas.types.{module.name} defines no letter type, or one that is there already")
        found[candidate.name] = candidate
    return MappingProxyType(found)


def letter_type(name: str) -> LetterType:
    """The type called ``name``, its major version included.

    Raises:
        Refused: ``type_unknown``.
    """
    found = all_types().get(name)
    if found is None:
        raise Refused(ErrorCode.TYPE_UNKNOWN, pointer="/type", type=name)
    return found
