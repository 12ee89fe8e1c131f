"""One refusal of what pydantic found: place and words, in both languages."""

from schemas.errors import ErrorCode
from schemas.validation import refusal_of_findings


def test_a_finding_says_the_same_in_arabic_and_english() -> None:
    finding = {"type": "too_long", "loc": ("a/b", 0), "msg": "At most 50 items", "ctx": {"max_length": 50}}
    refusal = refusal_of_findings([finding], "/content")
    assert (refusal.code, refusal.pointer) == (ErrorCode.SCHEMA_INVALID, "/content/a~1b/0")
    assert refusal.text("en") == "A member is missing or wrong: /content/a~1b/0: At most 50 items."
    assert refusal.text("ar") == "أحد البيانات مفقود أو غير صحيح: /content/a~1b/0: الحد الأقصى لعدد العناصر 50."


def test_listed_values_are_listed_without_an_english_or() -> None:
    finding = {"type": "enum", "loc": ("role",), "msg": "…", "ctx": {"expected": "'to' or 'cc'"}}
    assert refusal_of_findings([finding]).text("ar").endswith("/role: القيمة ليست من القيم المقررة: 'to', 'cc'.")


def test_a_finding_without_arabic_words_is_named_by_its_type_and_never_put_in_english() -> None:
    refusal = refusal_of_findings([{"type": "url_scheme", "loc": ("x",), "msg": "URL scheme should be 'https'"}])
    assert refusal.text("ar") == "أحد البيانات مفقود أو غير صحيح: /x: القيمة غير صحيحة (url_scheme)."
