"""``docs/errors.md``: every code that a person or a machine can meet, with its texts and the next step.

    python -m schemas.error_pages

writes it; a test fails when it has drifted from the catalogues.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

from schemas.errors import CATALOGUE, ErrorText
from schemas.reasons import HELD, INCIDENT, NON_DELIVERY, RETURN, ReasonText

PAGE = Path(__file__).parent.parent / "docs" / "errors.md"

_INTRODUCTION = """\
# Codes: what is wrong and what to do

Generated from the catalogues in `schemas/` by `python -m schemas.error_pages`; do not edit. `{…}` stands for
a detail. A code is stable: once published it keeps its meaning.
"""


def page() -> str:
    """The whole page, as Markdown."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield _INTRODUCTION
    yield "## Errors\n"
    yield "Given by the local API (as RFC 9457 problems, with the HTTP status) and the command line.\n"
    for code, text in sorted(CATALOGUE.items()):
        yield f"### `{code}`\n\nHTTP {text.status}\n"
        yield from _texts(text)
    for title, explanation, catalogue in (
        ("Reasons of *not delivered*", "Inside the signed receipt that the sender gets.", NON_DELIVERY),
        ("Reasons of *held*", "Given by the authority: a step, not an end.", HELD),
        ("Reasons of *returned*", "Given by the recipient's registry, inside the signed receipt.", RETURN),
        ("Incidents", "Messages that are not authentic: quarantined, answered to nobody.", INCIDENT),
    ):
        yield f"## {title}\n\n{explanation}\n"
        reasons: list[tuple[str, ReasonText]] = sorted((str(code), text) for code, text in catalogue.items())
        for reason, words in reasons:
            yield f"### `{reason}`\n"
            yield from _texts(words)


def _texts(text: ErrorText | ReasonText) -> Iterator[str]:
    yield f"{text.en}  "
    yield f"**Next:** {text.next_en}\n"
    yield f'<div dir="rtl" lang="ar">\n\n{text.ar}  '
    yield f"**الخطوة التالية:** {text.next_ar}\n\n</div>\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    sys.stdout.write(f"{PAGE}\n")
