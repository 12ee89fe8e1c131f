"""Verification without a network, a store or an adapter: anybody who holds a document can do it.

    examination = examine(letter, [root], directory, at)
    examination.verified, examination.checks, examination.facts

One check after another, each of which rests on those before it. The first that fails is the last: nothing is
claimed beyond it, and of a document that is not verified no content is shown.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes

from schemas.directory import KeyPurpose
from schemas.errors import ErrorCode, Language, Refused, fill
from schemas.identifiers import AUTHORITY
from schemas.letter import Letter, parse_letter
from schemas.letter_checks import check_letter
from schemas.receipts import AUTHORITY_EVENTS, RECIPIENT_EVENTS, Receipt, parse_receipt
from schemas.statements import DeadLetterStatement, parse_dead_letter
from trust.directory import Directory
from trust.directory_key import DirectoryKey
from trust.errors import VerificationError
from trust.facts import facts_of
from trust.token import OpenedToken, TokenType, open_token, stated_type
from trust.verification import verify

KINDS: Final[Mapping[TokenType, tuple[str, str, str]]] = {
    TokenType.LETTER: ("letter", "كتاب", "letter"),
    TokenType.RECEIPT: ("receipt", "إيصال", "receipt"),
    TokenType.DEAD_LETTER: ("dead_letter", "بيان رسالة متعذّرة", "dead-letter statement"),
}
"""What can be examined: name, Arabic, English."""

_STATES = {
    "current": ("سارية", "current"),
    "ageing": ("قاربت على الانتهاء", "ageing"),
    "grace": ("منتهية وفي مهلة السماح", "past its end, in grace"),
}
# What was not judged when the signature was found good: the key's own validity.
_JUDGED_BEFORE_SIGNATURE: Final = frozenset({ErrorCode.KEY_UNKNOWN, ErrorCode.KEY_WRONG_PURPOSE})


@dataclass(frozen=True, slots=True)
class Check:
    """One check, done.

    Attributes:
        name: stable.
        ar, en: what was found, with ``{…}`` for ``params``.
        params: may come from outside.
        refusal: why it failed, if it did.
    """

    name: str
    ar: str = ""
    en: str = ""
    params: Mapping[str, object] = field(default_factory=dict)
    refusal: Refused | None = None

    @property
    def ok(self) -> bool:
        return self.refusal is None

    def text(self, language: Language, around: tuple[str, str] = ("", "")) -> str:
        """In words, on one line whatever the document has in it; ``around`` each inserted value.

        The Arabic of a refusal may have a second line, of technical details.
        """
        if self.refusal is not None:
            return self.refusal.text(language)
        words = self.ar if language == "ar" else self.en
        return fill(words.replace("{", around[0] + "{").replace("}", "}" + around[1]), self.params)


@dataclass(frozen=True, slots=True)
class Examination:
    """What came out.

    Attributes:
        at: the instant at which it was judged.
        checks: in order; only the last can have failed.
        kind: of the document, once known: a name in :data:`KINDS`.
        facts: of a verified document.
    """

    at: datetime
    checks: tuple[Check, ...]
    kind: str | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def verified(self) -> bool:
        return all(check.ok for check in self.checks)


def examine(raw: bytes, anchors: Sequence[x509.Certificate], directory: bytes, at: datetime) -> Examination:
    """Examine a letter, a receipt or a dead-letter statement, whatever it says it is.

    Args:
        raw: compact JWS.
        anchors: pinned roots.
        directory: compact JWS of the directory of that time.
        at: the instant to judge at, aware.
    """
    return _Examiner(raw, anchors, directory, at).examine()


class _Examiner:
    """Steps that leave what they found to the next ones."""

    _token: OpenedToken
    _directory: Directory
    _key: DirectoryKey
    _verdict: Refused | None
    _document: Letter | Receipt | DeadLetterStatement

    def __init__(self, raw: bytes, anchors: Sequence[x509.Certificate], directory: bytes, at: datetime) -> None:
        self._raw = raw
        self._anchors = anchors
        self._directory_raw = directory
        self._at = at
        self._kind: str | None = None

    def examine(self) -> Examination:
        steps: tuple[tuple[str, Callable[[], Check]], ...] = (
            ("token", self._check_token),
            ("anchor", self._check_anchor),
            ("directory", self._check_directory),
            ("signer", self._check_signer),
            ("signature", self._check_signature),
            ("validity", self._check_validity),
            ("payload", self._check_payload),
            ("sender", self._check_sender),
        )
        checks: list[Check] = []
        for name, step in steps:
            try:
                checks.append(step())
            except Refused as refusal:
                checks.append(Check(name, refusal=refusal))
                return Examination(self._at, tuple(checks), self._kind)
        facts = facts_of(self._document, self._token, self._directory)
        return Examination(self._at, tuple(checks), self._kind, facts)

    def _check_token(self) -> Check:
        typ = stated_type(self._raw, tuple(KINDS))
        self._kind, ar, en = KINDS[typ]
        token = self._token = open_token(self._raw, typ)
        return Check(
            "token",
            "{kind_ar}، {size} بايت، خوارزمية التوقيع {alg}، بصمة الوثيقة {digest}",
            "{kind_en}, {size} bytes, signature algorithm {alg}, digest {digest}",
            {"kind_ar": ar, "kind_en": en, "size": len(self._raw), "alg": token.alg, "digest": token.digest},
        )

    def _check_anchor(self) -> Check:
        subjects, fingerprints = [], []
        for anchor in self._anchors:
            try:
                anchor.verify_directly_issued_by(anchor)
                subjects.append(anchor.subject.rfc4514_string())
            except (InvalidSignature, UnsupportedAlgorithm, ValueError, TypeError):
                raise VerificationError(
                    ErrorCode.CHAIN_INVALID,
                    problem_ar="الشهادة المعتمدة ليست جذراً: لم توقَّع بمفتاحها نفسه",
                    problem="the anchor is no root: it is not signed by its own key",
                ) from None
            fingerprints.append(anchor.fingerprint(hashes.SHA256()).hex(":").upper())
        return Check(
            "anchor",
            "{subject}، بصمة SHA-256 هي {fingerprint}، فقارنها بما نشرته الجهة المشغّلة",
            "{subject}, SHA-256 {fingerprint}; compare it with what the authority has published",
            {"subject": "; ".join(subjects), "fingerprint": "; ".join(fingerprints)},
        )

    def _check_directory(self) -> Check:
        directory = self._directory = Directory.open(self._directory_raw, self._anchors, self._at)
        ar, en = _STATES[directory.state(self._at)]
        return Check(
            "directory",
            "النسخة {version}، صدرت في {issued_at}، صالحة حتى {valid_until}، وهي في {at} {state_ar}",
            "version {version}, issued {issued_at}, valid until {valid_until}, at {at} {state_en}",
            {
                "version": directory.version,
                "issued_at": _written(directory.issued_at),
                "valid_until": _written(directory.valid_until),
                "at": _written(self._at),
                "state_ar": ar,
                "state_en": en,
            },
        )

    def _check_signer(self) -> Check:
        self._verdict = None
        key = self._directory.key(self._token.kid)
        # The authority speaks by its receipts key, and as any recipient by its seal.
        as_authority = key is not None and key.purpose == KeyPurpose.RECEIPTS and self._token.typ is TokenType.RECEIPT
        purpose = KeyPurpose.RECEIPTS if as_authority else KeyPurpose.SEAL
        try:
            key = verify(self._token, self._directory, purpose=purpose.value, now=self._at)
        except VerificationError as error:
            # One call judges key, signature and validity; its verdict falls to the check that it is about.
            if key is None or error.code in _JUDGED_BEFORE_SIGNATURE:
                raise
            self._verdict = error
        self._key = key
        agency = self._directory.agencies[key.agency]
        revoked = key.revoked_at is not None
        return Check(
            "signer",
            "{agency} {name_ar} ({name_en})، المفتاح {kid} وغرضه {purpose}، صالح من {from} إلى {to}، {revocation_ar}",
            "{agency} {name_ar} ({name_en}), key {kid} for {purpose}, valid from {from} to {to}, {revocation_en}",
            {
                "agency": key.agency,
                "name_ar": agency.name_ar,
                "name_en": agency.name_en,
                "kid": key.kid,
                "purpose": key.purpose,
                "from": _written(key.not_before),
                "to": _written(key.not_after),
                "revocation_ar": f"أُلغي في {_written(key.revoked_at)}" if revoked else "لم يُلغَ",
                "revocation_en": f"revoked {_written(key.revoked_at)}" if revoked else "not revoked",
            },
        )

    def _check_signature(self) -> Check:
        if isinstance(self._verdict, VerificationError) and not self._verdict.signature_good:
            raise self._verdict
        return Check("signature", "وقّع هذا المفتاح هذه الوثيقة كما هي", "this key signed exactly this document")

    def _check_validity(self) -> Check:
        if self._verdict is not None:
            raise self._verdict
        if self._key.not_after < self._at:
            return Check(
                "validity",
                "انتهت صلاحية المفتاح قبل {at} بأقل من 30 يوماً، وما وقّعه قبل ذلك مقبول",
                "the key ran out less than 30 days before {at}; what it signed before still counts",
                {"at": _written(self._at)},
            )
        return Check("validity", "المفتاح معتبر في {at}", "the key counts at {at}", {"at": _written(self._at)})

    def _check_payload(self) -> Check:
        claims = self._token.claims()
        if self._token.typ is TokenType.LETTER:
            letter = self._document = parse_letter(claims)
            check_letter(letter)
            what = letter.type
        elif self._token.typ is TokenType.RECEIPT:
            what = (receipt := parse_receipt(claims)).event.value
            self._document = receipt
        else:
            self._document = parse_dead_letter(claims)
            what = self._document.stage
        return Check(
            "payload",
            "محتوى سليم مطابق لقواعد نوعه ({what})، {size} بايت",
            "well-formed and by the rules of its type ({what}), {size} bytes",
            {"what": what, "size": len(self._token.payload)},
        )

    def _check_sender(self) -> Check:
        for lawful in _lawful_signers(self._document, self._key.purpose):
            if lawful != self._key.agency:
                raise VerificationError(ErrorCode.SIGNER_NOT_LAWFUL, lawful=lawful, agency=self._key.agency)
        if isinstance(self._document, Receipt):
            may_say = AUTHORITY_EVENTS if self._key.purpose == KeyPurpose.RECEIPTS else RECIPIENT_EVENTS
            if self._document.event not in may_say:
                raise VerificationError(ErrorCode.KEY_WRONG_PURPOSE, kid=self._key.kid, purpose=self._key.purpose)
        if isinstance(self._document, Letter):
            entry = self._directory.agencies[self._key.agency]
            if not entry.may_send_type(self._document.type):
                raise Refused(
                    ErrorCode.SENDER_NOT_ALLOWED, pointer="/type", agency=entry.code, type=self._document.type
                )
        return Check(
            "sender",
            "الجهة التي تقول الوثيقة إنها صدرت عنها هي التي وقّعتها: {agency}",
            "the agency that the document says it is from signed it: {agency}",
            {"agency": self._key.agency},
        )


def _lawful_signers(document: Letter | Receipt | DeadLetterStatement, purpose: str) -> tuple[str, ...]:
    """Who must have signed, by the document's own words and the key's purpose; all of them must be the signer."""
    if isinstance(document, Letter):
        return (document.sender.agency,)
    if isinstance(document, DeadLetterStatement):
        return document.iss, document.recipient  # believed about the agency's own copy only
    by_recipient = purpose != KeyPurpose.RECEIPTS and document.event in RECIPIENT_EVENTS
    return document.iss, document.sub_id.recipient if by_recipient else AUTHORITY


def _written(instant: datetime | None) -> str:
    return "" if instant is None else instant.astimezone(UTC).isoformat(timespec="seconds")
