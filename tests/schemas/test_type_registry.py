"""Adding a type is adding one module and nothing else."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import schemas.types
from schemas.envelope import parse_letter, parse_request
from schemas.errors import ErrorCode, Refused
from schemas.letter_checks import check_letter, check_request
from schemas.publication import documents
from schemas.type_registry import all_types, letter_type
from tests.schemas.letters import NOW, SENDER, TYPES, letter, request, sent
from tests.schemas.validators import validator

AddModule = Callable[[str, str], None]

MEMO = """
from pydantic import Field, StrictInt
from typing import Annotated
from schemas.letter_type import LetterType, TypeFields

class ReplyFields(TypeFields):  # the name of another type's fields, as a second major version would have it
    pages: Annotated[StrictInt, Field(ge=1)]

TYPE = LetterType(
    name="minutes/2", ar="محضر اجتماع", en="minutes", fields=ReplyFields,
    default_deadline_days=7, reply_required=True,
)
"""


@pytest.fixture
def add_module(tmp_path: Path) -> Iterator[AddModule]:
    """Puts a module beside the types, in a folder of its own, and forgets it afterwards."""
    before = set(sys.modules)
    schemas.types.__path__.append(str(tmp_path))
    all_types.cache_clear()

    def add(name: str, source: str) -> None:
        (tmp_path / f"{name}.py").write_text(source, encoding="utf-8")

    yield add
    schemas.types.__path__.remove(str(tmp_path))
    for name in set(sys.modules) - before:
        if name.startswith("schemas.types."):
            del sys.modules[name]
            delattr(schemas.types, name.removeprefix("schemas.types."))
    all_types.cache_clear()


def test_five_types_are_registered() -> None:
    assert sorted(all_types()) == TYPES
    assert len(TYPES) == 5


def test_a_module_is_all_that_a_new_type_needs(add_module: AddModule) -> None:
    add_module("minutes", MEMO)
    assert sorted(all_types()) == sorted([*TYPES, "minutes/2"])

    claims = request() | {"type": "minutes/2"}
    claims["content"]["fields"] = {"pages": 3}
    composed = sent(claims)
    check_letter(parse_letter(composed))
    assert composed["expires_at"] == "2026-03-08T12:00:00+03:00"
    assert composed["reply"]["required"] is True

    del claims["content"]["fields"]["pages"]
    with pytest.raises(Refused) as refused:
        check_request(parse_request(claims), SENDER, NOW)
    assert refused.value.pointer == "/content/fields/pages"


def test_a_new_type_stands_in_the_published_schemas(add_module: AddModule) -> None:
    add_module("minutes", MEMO)
    published = documents()
    assert published["fields.minutes-2.schema.json"]["title"] == "Fields of minutes/2: minutes, محضر اجتماع"
    judge = validator(published["letter.schema.json"])
    claims = letter("reply/1")
    assert judge.is_valid(claims), "the reply's fields are still its own"
    assert not judge.is_valid(claims | {"type": "minutes/2"})
    assert judge.is_valid(claims | {"type": "minutes/2", "content": claims["content"] | {"fields": {"pages": 3}}})


def test_the_registry_forgets_what_a_test_added() -> None:
    assert "minutes/2" not in all_types()
    assert "schemas.types.minutes" not in sys.modules


@pytest.mark.parametrize("source", ["", "TYPE = 'letter.general/1'\n"], ids=["none", "no type"])
def test_a_module_without_a_type_is_refused(add_module: AddModule, source: str) -> None:
    add_module("nothing", source)
    with pytest.raises(ValueError, match=r"schemas\.types\.nothing defines no letter type"):
        all_types()


def test_two_modules_with_the_same_type_are_refused(add_module: AddModule) -> None:
    add_module("zz_second", "from schemas.types.reply import TYPE\n")
    with pytest.raises(ValueError, match=r"schemas\.types\.zz_second .* already"):
        all_types()


@pytest.mark.parametrize("name", ["letter.general", "letter.general/2", "letter/1", "REPLY/1", "", "reply/1 "])
def test_a_type_or_major_version_that_is_not_there_is_unknown(name: str) -> None:
    with pytest.raises(Refused) as refused:
        letter_type(name)
    assert (refused.value.code, refused.value.pointer) == (ErrorCode.TYPE_UNKNOWN, "/type")
    assert refused.value.params["type"] == name


def test_the_registry_cannot_be_written_to() -> None:
    with pytest.raises(TypeError):
        all_types()["letter.general/1"] = all_types()["reply/1"]  # type: ignore[index] # that is the point
