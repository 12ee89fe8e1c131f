"""Reason codes inside signed receipts, notices and statements, with their texts in Arabic and English.

Stable like error codes. A code that this release does not know (a newer adapter's) is shown as it stands.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType


class NonDeliveryReason(StrEnum):
    """Why a letter is *not delivered*: said by the recipient's adapter, or by the authority."""

    ATTACHMENTS_NOT_SUPPORTED = "attachments_not_supported"
    ENCRYPTED_NOT_SUPPORTED = "encrypted_not_supported"
    EXPIRED = "expired"
    ID_REUSED = "id_reused"
    ISSUED_IN_FUTURE = "issued_in_future"
    KEY_EXPIRED = "key_expired"
    KEY_NOT_YET_VALID = "key_not_yet_valid"
    LANE_MISMATCH = "lane_mismatch"
    LATE = "late"
    NOT_ADDRESSED = "not_addressed"
    NOT_ALLOWED = "not_allowed"
    PAYLOAD_MALFORMED = "payload_malformed"
    RECIPIENT_UNKNOWN = "recipient_unknown"
    SCHEMA_INVALID = "schema_invalid"
    TYPE_UNKNOWN = "type_unknown"


class IncidentReason(StrEnum):
    """Why a message is not authentic, or no honest adapter's: quarantined, answered to nobody."""

    CARRIES_BCC = "carries_bcc"
    CARRIES_CC = "carries_cc"
    CARRIES_EXPIRATION = "carries_expiration"
    CARRIES_FOREIGN_HEADER = "carries_foreign_header"
    FOREIGN_EXCHANGE = "foreign_exchange"
    KEY_COMPROMISED = "key_compromised"
    KEY_UNKNOWN = "key_unknown"
    KEY_WRONG_PURPOSE = "key_wrong_purpose"
    ORDER_NOT_SUPPORTED = "order_not_supported"
    RECEIPT_MALFORMED = "receipt_malformed"
    RECEIPT_UNMATCHED = "receipt_unmatched"
    RECEIPT_WRONG_SIGNER = "receipt_wrong_signer"
    ROUTING_KEY_FOREIGN = "routing_key_foreign"
    SIGNATURE_INVALID = "signature_invalid"
    STATEMENT_WRONG_SIGNER = "statement_wrong_signer"
    TOKEN_MALFORMED = "token_malformed"  # noqa: S105 - a code, not a password
    TOKEN_TOO_LARGE = "token_too_large"  # noqa: S105 - a code, not a password
    WRONG_TOKEN_TYPE = "wrong_token_type"  # noqa: S105 - a code, not a password


class HeldReason(StrEnum):
    """Why the authority *holds* a letter: what an operator can still mend."""

    DEAD_LETTERED = "dead_lettered"
    RECIPIENT_NOT_ACTIVE = "recipient_not_active"


class ReturnReason(StrEnum):
    """Why a registry sends a delivered letter back (reference: registry workflow, *RETURNED*)."""

    DUPLICATE = "duplicate"
    ILLEGIBLE = "illegible"
    MARK_MISMATCH = "mark_mismatch"
    MISSING_ATTACHMENTS = "missing_attachments"
    NOT_COMPETENT = "not_competent"
    PAPER_ORIGINAL_REQUIRED = "paper_original_required"
    WRONG_ADDRESSEE = "wrong_addressee"


Reason = NonDeliveryReason | HeldReason | IncidentReason | ReturnReason


@dataclass(frozen=True, slots=True)
class ReasonText:
    """What a reason means and what its reader does next: the sender, or for incidents the operator."""

    ar: str
    en: str
    next_ar: str
    next_en: str


_T = ReasonText
_N = NonDeliveryReason
_I = IncidentReason
_R = ReturnReason
_KEEP_AR = "الرسالة محفوظة في الحجر ولم تؤثر في أي كتاب. راجع مسؤول أمن المعلومات لدى الجهة التي نُشرت باسمها."
_KEEP_EN = "The message is kept in the quarantine and changed no letter. Ask the agency whose account published it."

NON_DELIVERY: Mapping[NonDeliveryReason, ReasonText] = MappingProxyType(
    {
        _N.ATTACHMENTS_NOT_SUPPORTED: _T(
            "نظام الجهة المستلمة لا يستقبل المرفقات بعد",
            "the recipient's adapter cannot take attachments yet",
            "أرسل الكتاب دون مرفقات أو بالطريق المعتاد.",
            "Send the letter without attachments, or by the usual way.",
        ),
        _N.ENCRYPTED_NOT_SUPPORTED: _T(
            "نظام الجهة المستلمة لا يستقبل الكتب المشفرة بعد",
            "the recipient's adapter cannot take encrypted letters yet",
            "أرسل الكتاب ورقياً وفق إجراءات الكتب السرية.",
            "Send the letter on paper under the rules for secret correspondence.",
        ),
        _N.EXPIRED: _T(
            "انقضى آخر موعد للتسليم ولم يصل الكتاب إلى الجهة",
            "the last moment of delivery passed and the letter had not arrived",
            "اتصل بسجل الجهة المستلمة، ثم أرسل كتاباً جديداً بموعد جديد.",
            "Contact the recipient's registry, then send a new letter with a new deadline.",
        ),
        _N.ID_REUSED: _T(
            "وصل من قبل كتاب آخر بالمعرّف نفسه ومحتوى مختلف",
            "another letter with the same id and other content arrived before",
            "تحقق من سلامة قاعدة بيانات المحوّل، ثم أصدر كتاباً جديداً.",
            "Check the adapter's store, then issue a new letter.",
        ),
        _N.ISSUED_IN_FUTURE: _T(
            "وقت توقيع الكتاب متقدم على الوقت الحالي",
            "the letter's time of signing lies in the future",
            "اضبط ساعة المحوّل ثم أصدر الكتاب من جديد.",
            "Set the adapter's clock, then issue the letter again.",
        ),
        _N.KEY_EXPIRED: _T(
            "انتهت صلاحية مفتاح الختم أو أُلغي قبل وصول الكتاب",
            "the seal key had expired or been revoked when the letter arrived",
            "جدّد مفتاح الختم ثم أصدر الكتاب من جديد.",
            "Renew the seal key, then issue the letter again.",
        ),
        _N.KEY_NOT_YET_VALID: _T(
            "لم تكن صلاحية مفتاح الختم قد بدأت عند وصول الكتاب",
            "the seal key was not yet valid when the letter arrived",
            "انتظر بدء صلاحية المفتاح ثم أصدر الكتاب من جديد.",
            "Wait until the key is valid, then issue the letter again.",
        ),
        _N.LANE_MISMATCH: _T(
            "سُلك بالكتاب مسار لا يناسب درجة أهميته",
            "the letter travelled in a lane that does not fit its urgency",
            "حدّث المحوّل لدى الجهة المرسلة ثم أعد الإرسال.",
            "Update the sender's adapter, then send again.",
        ),
        _N.LATE: _T(
            "وصل الكتاب بعد آخر موعد للتسليم",
            "the letter arrived after the last moment of delivery",
            "أرسل كتاباً جديداً إن كان الموضوع لا يزال قائماً.",
            "Send a new letter if the matter still stands.",
        ),
        _N.NOT_ADDRESSED: _T(
            "الجهة ليست من المرسل إليهم في الكتاب الموقّع",
            "the agency is not among the recipients of the signed letter",
            "راجع قائمة المرسل إليهم ثم أصدر كتاباً جديداً.",
            "Check the recipients, then issue a new letter.",
        ),
        _N.NOT_ALLOWED: _T(
            "الجهة المرسلة غير مخوّلة بإصدار هذا الكتاب",
            "the sender may not issue this letter",
            "استخدم نوعاً تملك الجهة إصداره، أو راجع الجهة المشغّلة للشبكة.",
            "Use a type that the agency may issue, or ask the authority.",
        ),
        _N.PAYLOAD_MALFORMED: _T(
            "تعذّرت قراءة محتوى الكتاب",
            "the letter's content cannot be read",
            "حدّث المحوّل لدى الجهة المرسلة ثم أصدر الكتاب من جديد.",
            "Update the sender's adapter, then issue the letter again.",
        ),
        _N.RECIPIENT_UNKNOWN: _T(
            "لا توجد في دليل الجهات جهة بهذا الرمز",
            "the directory has no agency with this code",
            "صحّح رمز الجهة ثم أصدر كتاباً جديداً.",
            "Correct the agency's code, then issue a new letter.",
        ),
        _N.SCHEMA_INVALID: _T(
            "أحد بيانات الكتاب مفقود أو غير صحيح",
            "a member of the letter is missing or wrong",
            "صحّح الكتاب وفق المخطط المنشور ثم أصدره من جديد.",
            "Correct the letter according to the published schema, then issue it again.",
        ),
        _N.TYPE_UNKNOWN: _T(
            "نوع الكتاب غير معروف لدى الجهة المستلمة",
            "the recipient's adapter does not know this type of letter",
            "استخدم نوعاً تقبله الجهة كما في دليل الجهات.",
            "Use a type that the directory lists for the recipient.",
        ),
    }
)

HELD: Mapping[HeldReason, ReasonText] = MappingProxyType(
    {
        HeldReason.DEAD_LETTERED: _T(
            "لم يصل الكتاب إلى محوّل الجهة، وهو محفوظ لدى الجهة المشغّلة للشبكة",
            "the letter did not reach the recipient's adapter; the authority keeps it",
            "انتظر: تعيده الجهة المشغّلة، أو يصل بإعادة الإرسال التلقائية.",
            "Wait: the authority sends it again, or it arrives by the automatic repetition.",
        ),
        HeldReason.RECIPIENT_NOT_ACTIVE: _T(
            "الجهة المستلمة موقوفة حالياً",
            "the recipient is suspended for now",
            "انتظر إعادة تفعيلها، أو راجع الجهة المشغّلة للشبكة.",
            "Wait until it is active again, or ask the authority.",
        ),
    }
)

INCIDENT: Mapping[IncidentReason, ReasonText] = MappingProxyType(
    {
        _I.CARRIES_BCC: _T("تحمل الرسالة الترويسة BCC", "the message carries a BCC header", _KEEP_AR, _KEEP_EN),
        _I.CARRIES_CC: _T("تحمل الرسالة الترويسة CC", "the message carries a CC header", _KEEP_AR, _KEEP_EN),
        _I.CARRIES_EXPIRATION: _T(
            "تحمل الرسالة مهلة انتهاء لدى الوسيط", "the message carries an expiration", _KEEP_AR, _KEEP_EN
        ),
        _I.CARRIES_FOREIGN_HEADER: _T(
            "تحمل الرسالة ترويسة لا يضعها محوّل ولا وسيط",
            "the message carries a header that neither an adapter nor the broker sets",
            _KEEP_AR,
            _KEEP_EN,
        ),
        _I.FOREIGN_EXCHANGE: _T(
            "نُشرت الرسالة عبر حساب جهة غير الجهة الموقّعة",
            "the message was published through an exchange that is not its signer's",
            _KEEP_AR,
            _KEEP_EN,
        ),
        _I.KEY_COMPROMISED: _T(
            "وُقّعت الرسالة بمفتاح أُلغي لانكشافه",
            "the message is signed with a key that was revoked as compromised",
            "أبلغ الجهة المشغّلة للشبكة فوراً، ولا تعتمد على الكتاب.",
            "Tell the authority at once; do not rely on the letter.",
        ),
        _I.KEY_UNKNOWN: _T(
            "وُقّعت الرسالة بمفتاح غير مسجّل في دليل الجهات",
            "the message is signed with a key that is not in the directory",
            _KEEP_AR,
            _KEEP_EN,
        ),
        _I.KEY_WRONG_PURPOSE: _T(
            "وُقّعت الرسالة بمفتاح مخصص لغرض آخر",
            "the message is signed with a key that serves another purpose",
            _KEEP_AR,
            _KEEP_EN,
        ),
        _I.ORDER_NOT_SUPPORTED: _T(
            "وصل أمر لا يعرفه هذا الإصدار من المحوّل",
            "an order arrived that this release of the adapter does not know",
            "حدّث المحوّل؛ الأمر محفوظ في الحجر.",
            "Update the adapter; the order is kept in the quarantine.",
        ),
        _I.RECEIPT_MALFORMED: _T("إيصال موقّع تعذّرت قراءته", "a signed receipt that cannot be read", _KEEP_AR, _KEEP_EN),
        _I.RECEIPT_UNMATCHED: _T(
            "إيصال لا يطابق أي كتاب أرسلته هذه الجهة",
            "a receipt that matches no letter of this agency",
            _KEEP_AR,
            _KEEP_EN,
        ),
        _I.RECEIPT_WRONG_SIGNER: _T(
            "إيصال وقّعته جهة لا شأن لها به",
            "a receipt signed by one who may not say what it says",
            _KEEP_AR,
            _KEEP_EN,
        ),
        _I.ROUTING_KEY_FOREIGN: _T(
            "وصلت الرسالة بمفتاح توجيه ليس لهذا الصندوق",
            "the message came with a routing key that is not its queue's own",
            _KEEP_AR,
            _KEEP_EN,
        ),
        _I.SIGNATURE_INVALID: _T("توقيع الرسالة غير صحيح", "the signature is wrong", _KEEP_AR, _KEEP_EN),
        _I.STATEMENT_WRONG_SIGNER: _T(
            "بيان عن نسخة جهة أخرى",
            "a statement about another agency's copy",
            _KEEP_AR,
            _KEEP_EN,
        ),
        _I.TOKEN_MALFORMED: _T(
            "الرسالة ليست وثيقة موقّعة سليمة",
            "the message is no well-formed signed document",
            _KEEP_AR,
            _KEEP_EN,
        ),
        _I.TOKEN_TOO_LARGE: _T(
            "حجم الرسالة يجاوز الحد الأقصى", "the message exceeds the largest size", _KEEP_AR, _KEEP_EN
        ),
        _I.WRONG_TOKEN_TYPE: _T(
            "نوع الوثيقة الموقّعة لا يناسب هذا الصندوق",
            "a signed document of a type that does not belong in this queue",
            _KEEP_AR,
            _KEEP_EN,
        ),
    }
)

RETURN: Mapping[ReturnReason, ReasonText] = MappingProxyType(
    {
        _R.DUPLICATE: _T(
            "الكتاب مكرر",
            "duplicate",
            "راجع رقم الوارد للكتاب الأول وتابع عليه.",
            "Follow up on the first letter, under its incoming number.",
        ),
        _R.ILLEGIBLE: _T(
            "الكتاب غير مقروء", "illegible", "أعد إصدار الكتاب واضحاً.", "Issue the letter again, legibly."
        ),
        _R.MARK_MISMATCH: _T(
            "درجة السرية أو الأهمية لا توافق المضمون",
            "marks do not fit the content",
            "صحّح درجة السرية والأهمية ثم أصدر الكتاب من جديد.",
            "Correct secrecy and urgency, then issue the letter again.",
        ),
        _R.MISSING_ATTACHMENTS: _T(
            "المرفقات ناقصة",
            "attachments missing",
            "استوفِ المرفقات ثم أصدر الكتاب من جديد.",
            "Complete the attachments, then issue the letter again.",
        ),
        _R.NOT_COMPETENT: _T(
            "الموضوع ليس من اختصاص الجهة",
            "not within the agency's competence",
            "أرسل الكتاب إلى الجهة المختصة.",
            "Send the letter to the competent agency.",
        ),
        _R.PAPER_ORIGINAL_REQUIRED: _T(
            "يلزم الأصل الورقي",
            "paper original required",
            "أرسل الأصل الورقي مع ذكر رقم الصادر.",
            "Send the paper original, quoting the outgoing number.",
        ),
        _R.WRONG_ADDRESSEE: _T(
            "المرسل إليه غير صحيح",
            "wrong addressee",
            "صحّح المرسل إليه ثم أصدر الكتاب من جديد.",
            "Correct the addressee, then issue the letter again.",
        ),
    }
)


def reason_text(code: str) -> ReasonText | None:
    """Texts of a reason code of any kind; None for one that this release does not know."""
    return _BY_CODE.get(code)


_BY_CODE: Mapping[str, ReasonText] = {
    reason.value: text for texts in (NON_DELIVERY, HELD, INCIDENT, RETURN) for reason, text in texts.items()
}
