"""Letters to judge: a request and a composed letter of each type, and changed copies of them."""

import copy
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from schemas.composition import compose_letter
from schemas.envelope import parse_request
from schemas.letter_checks import check_request

NOW: Final = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
"""Sunday noon in Kuwait, 12 Ramadan 1447."""

LETTER_ID: Final = "019ca8b1-5a00-7abc-8def-0123456789ab"
THREAD_ID: Final = "019ca8b1-5a00-7abc-9def-0123456789ab"
OUTGOING_NO: Final = "MOF/2026/15"
SENDER: Final = "MOF"
"""May issue every type."""

CITED: Final = {"agency": "MPW", "outgoing_no": "و ش ع/2026/77", "date": "2026-01-15"}

FIELDS: Final[Mapping[str, dict[str, Any]]] = {
    "letter.general/1": {"category": "FIN.01"},
    "circular/1": {"circular_no": 9, "year": 2026, "effective_from": "2026-04-01", "audience": "ALL"},
    "referral/1": {"original": [CITED], "reason": "COMPETENCE", "keeps_copy": True},
    "reply/1": {"in_reply_to": CITED, "outcome": "ACCEPTED", "final": True},
    "reminder/1": {"of": CITED, "level": 1, "overdue_days": 3},
}
TYPES: Final = sorted(FIELDS)

REMOVED: Final = object()
"""Stands for the absence of a member in :func:`changed`."""


def request(type_name: str = "letter.general/1") -> dict[str, Any]:
    """What a caller of the API sends: complete for its type, and nothing more than it must say."""
    return {
        "type": type_name,
        "recipients": [{"agency": "MPW"}, {"agency": "SAB", "role": "cc"}],
        "content": {
            "subject": "طلب تخصيص اعتماد لصيانة الطرق",
            "body": "تحية طيبة وبعد،\nنرجو تخصيص الاعتماد اللازم.",
            "fields": copy.deepcopy(FIELDS[type_name]),
            "signatories": [{"post": "وكيل الوزارة"}],
        },
    }


def sent(claims: dict[str, Any], now: datetime = NOW) -> dict[str, Any]:
    """What becomes of a request that is let through: the claims that are signed."""
    asked = parse_request(claims)
    check_request(asked, SENDER, now)
    return compose_letter(
        asked,
        letter_id=LETTER_ID,
        outgoing_no=OUTGOING_NO,
        sender_agency=SENDER,
        issued_at=asked.issued_at or now,
        thread_id=THREAD_ID,
    )


def letter(type_name: str = "letter.general/1") -> dict[str, Any]:
    """The example of a type as it travels."""
    return sent(request(type_name))


def changed(claims: Mapping[str, Any], pointer: str, value: object) -> dict[str, Any]:
    """A copy of ``claims`` with the member at the JSON ``pointer`` set to ``value``, or taken out."""
    whole = copy.deepcopy(dict(claims))
    *way, last = pointer.removeprefix("/").split("/")
    place: Any = whole
    for step in way:
        place = place[int(step)] if isinstance(place, list) else place[step]
    key: Any = int(last) if isinstance(place, list) else last
    if value is REMOVED:
        del place[key]
    else:
        place[key] = value
    return whole
