"""Texts of the codes about signatures, keys, the directory and JSON."""

from collections.abc import Mapping

from schemas.error_codes import ErrorCode as E
from schemas.error_codes import ErrorText as T

_NEVER_TRUST_AR = "لا تعتمد على الوثيقة، وأبلغ الجهة المشغّلة للشبكة."
_NEVER_TRUST_EN = "Do not rely on the document; tell the authority."
_RESEND_AR = "اطلب من الجهة المرسلة إصدار الوثيقة من جديد."
_RESEND_EN = "Ask the sender to issue the document again."
_FIX_JSON_AR = "صحّح ملف JSON ثم أعد المحاولة."
_FIX_JSON_EN = "Correct the JSON and try again."
_RENEW_DIRECTORY_AR = "اجلب أحدث نسخة من دليل الجهات ثم أعد المحاولة."
_RENEW_DIRECTORY_EN = "Fetch the newest directory and try again."

TEXTS: Mapping[E, T] = {
    E.ALGORITHM_MISMATCH: T(
        422,
        "خوارزمية التوقيع {alg} ليست الخوارزمية المسجّلة لهذا المفتاح.",
        "Signature algorithm {alg} is not the one that the directory has for this key.",
        _NEVER_TRUST_AR,
        _NEVER_TRUST_EN,
    ),
    E.ALGORITHM_NOT_ALLOWED: T(
        422,
        "خوارزمية التوقيع {alg} غير مسموح بها.",
        "Signature algorithm {alg} is not allowed.",
        _NEVER_TRUST_AR,
        _NEVER_TRUST_EN,
    ),
    E.BASE64URL_INVALID: T(
        422,
        "ترميز base64url في الوثيقة الموقّعة غير سليم.",
        "The signed document is not in canonical base64url.",
        _RESEND_AR,
        _RESEND_EN,
    ),
    E.CERTIFICATE_DIGEST_MISMATCH: T(
        422,
        "بصمة الشهادة في ترويسة التوقيع لا تطابق الشهادة المسجّلة للمفتاح {kid}.",
        "The certificate digest in the signature's header is not that of key {kid}.",
        _NEVER_TRUST_AR,
        _NEVER_TRUST_EN,
    ),
    E.CERTIFICATE_UNREADABLE: T(
        422,
        "تعذّرت قراءة الشهادة {path}.",
        "The certificate {path} cannot be read.",
        "تحقق من المسار ومن أن الملف شهادة X.509 بصيغة PEM.",
        "Check the path, and that the file is an X.509 certificate in PEM.",
    ),
    E.CHAIN_INVALID: T(
        422,
        "سلسلة الشهادات لا تنتهي إلى الجذر المعتمد.\nالتفاصيل التقنية: {problem_ar}",
        "The certificate chain does not lead to the pinned root: {problem}.",
        _NEVER_TRUST_AR,
        _NEVER_TRUST_EN,
    ),
    E.DIRECTORY_EXPIRED: T(
        503,
        "انتهت صلاحية دليل الجهات، النسخة {version}.",
        "The directory, version {version}, has run out.",
        _RENEW_DIRECTORY_AR,
        _RENEW_DIRECTORY_EN,
    ),
    E.DIRECTORY_FORKED: T(
        422,
        "دليل الجهات المقدَّم يحمل رقم النسخة المعمول بها {version} ومحتواه مختلف عنها.",
        "This directory has the number of version {version}, which is in force, and is not the same.",
        "لا تستخدمه وأبلغ الجهة المشغّلة للشبكة: لا يصدر دليلان برقم واحد، ولا يُقبل بعده إلا رقم أعلى.",
        "Do not use it; tell the authority: no number is signed twice, and only a higher one is taken next.",
    ),
    E.DIRECTORY_MALFORMED: T(
        422,
        "دليل الجهات غير صالح.\nالتفاصيل التقنية: {problem_ar}",
        "The directory is not valid: {problem}.",
        _RENEW_DIRECTORY_AR,
        _RENEW_DIRECTORY_EN,
    ),
    E.DIRECTORY_ROLLED_BACK: T(
        422,
        "نسخة دليل الجهات {version} أقدم من النسخة المعمول بها {newest}.",
        "Directory version {version} is older than version {newest}, which is in force.",
        "استخدم أحدث نسخة؛ وإن قُدّمت لك نسخة أقدم فأبلغ الجهة المشغّلة للشبكة.",
        "Use the newest version; if an older one was offered to you, tell the authority.",
    ),
    E.DIRECTORY_UNREADABLE: T(
        503,
        "تعذّرت قراءة ملف دليل الجهات {path}.",
        "The directory file {path} cannot be read.",
        "تحقق من المسار ومن صلاحيات الملف.",
        "Check the path and the file permissions.",
    ),
    E.HEADER_MEMBER_DUPLICATE: T(
        422,
        "البيان {member} مكرر في ترويسة التوقيع.",
        "The member {member} stands twice in the signature's header.",
        _NEVER_TRUST_AR,
        _NEVER_TRUST_EN,
    ),
    E.HEADER_MEMBER_FORBIDDEN: T(
        422,
        "البيان {member} غير مسموح به في ترويسة التوقيع.",
        "The member {member} is not allowed in the signature's header.",
        _NEVER_TRUST_AR,
        _NEVER_TRUST_EN,
    ),
    E.HEADER_MEMBER_INVALID: T(
        422,
        "البيان {member} في ترويسة التوقيع مفقود أو غير صحيح.",
        "The member {member} of the signature's header is missing or wrong.",
        _RESEND_AR,
        _RESEND_EN,
    ),
    E.ISSUED_IN_FUTURE: T(
        422,
        "وقت التوقيع متقدم على الوقت الحالي بأكثر من خمس دقائق.",
        "The time of signing lies more than five minutes ahead.",
        "تحقق من ضبط ساعة الجهاز لدى الطرفين.",
        "Check the clocks of both machines.",
    ),
    E.JSON_MALFORMED: T(
        400,
        "المحتوى ليس JSON سليماً: {problem_ar}.",
        "The content is not well-formed JSON: {problem}.",
        _FIX_JSON_AR,
        _FIX_JSON_EN,
    ),
    E.KEY_COMPROMISED: T(
        422,
        "أُلغي المفتاح {kid} لانكشافه.",
        "Key {kid} was revoked because it was compromised.",
        _NEVER_TRUST_AR,
        _NEVER_TRUST_EN,
    ),
    E.KEY_EXPIRED: T(
        422,
        "انتهت صلاحية المفتاح {kid}.",
        "Key {kid} has expired.",
        "على الجهة المالكة للمفتاح تجديده ثم إعادة الإصدار.",
        "The owner must renew the key and issue again.",
    ),
    E.KEY_NOT_YET_VALID: T(
        422,
        "لم تبدأ صلاحية المفتاح {kid} بعد.",
        "Key {kid} is not valid yet.",
        "تحقق من ضبط الساعة، أو انتظر بدء صلاحية المفتاح.",
        "Check the clock, or wait until the key becomes valid.",
    ),
    E.KEY_REVOKED: T(
        422,
        "أُلغي المفتاح {kid}.",
        "Key {kid} was revoked.",
        "على الجهة المالكة استخدام مفتاحها الجديد.",
        "The owner must use its new key.",
    ),
    E.KEY_UNKNOWN: T(
        422,
        "المفتاح {kid} غير مسجّل في دليل الجهات.",
        "Key {kid} is not in the directory.",
        "اجلب أحدث نسخة من دليل الجهات؛ فإن بقي المفتاح مجهولاً فلا تعتمد على الوثيقة.",
        "Fetch the newest directory; if the key stays unknown, do not rely on the document.",
    ),
    E.KEY_UNREADABLE: T(
        500,
        "تعذّرت قراءة المفتاح {path}.\nالتفاصيل التقنية: {problem_ar}",
        "The key {path} cannot be read: {problem}.",
        "تحقق من المسار، ومن أن الملف مملوك لمستخدم المحوّل وصلاحياته 0600.",
        "Check the path, and that the file belongs to the adapter's user with permissions 0600.",
    ),
    E.KEY_WRONG_PURPOSE: T(
        422,
        "المفتاح {kid} مخصص لغرض آخر ({purpose}).",
        "Key {kid} serves another purpose ({purpose}).",
        _NEVER_TRUST_AR,
        _NEVER_TRUST_EN,
    ),
    E.NUMBER_NOT_FINITE: T(
        400,
        "في المحتوى قيمة ليست عدداً (NaN أو Infinity).",
        "The content has a value that is no number (NaN or Infinity).",
        _FIX_JSON_AR,
        _FIX_JSON_EN,
    ),
    E.NUMBER_NOT_INTEGER: T(
        400,
        "في المحتوى عدد كسري؛ لا تُقبل إلا الأعداد الصحيحة.",
        "The content has a fractional number; only integers are taken.",
        "اكتب المبالغ بالفلس عدداً صحيحاً.",
        "Write amounts of money in fils, as integers.",
    ),
    E.NUMBER_OUT_OF_RANGE: T(
        400,
        "في المحتوى عدد يجاوز الحد المسموح به (2^53).",
        "The content has an integer outside the safe range of 2^53.",
        "اكتب الأعداد الطويلة نصاً.",
        "Write long numbers as text.",
    ),
    E.PAYLOAD_MEMBER_DUPLICATE: T(
        400,
        "البيان {member} مكرر في المحتوى.",
        "The member {member} stands twice in one object.",
        _FIX_JSON_AR,
        _FIX_JSON_EN,
    ),
    E.PAYLOAD_NOT_OBJECT: T(
        400,
        "المحتوى ليس كائن JSON.",
        "The content is not a JSON object.",
        _FIX_JSON_AR,
        _FIX_JSON_EN,
    ),
    E.PAYLOAD_TOO_DEEP: T(
        400,
        "تداخل المحتوى أعمق من {limit} مستوى.",
        "The content is nested deeper than {limit} levels.",
        _FIX_JSON_AR,
        _FIX_JSON_EN,
    ),
    E.PAYLOAD_TOO_LARGE: T(
        413,
        "حجم المحتوى {size} بايت، والحد الأقصى {limit} بايت.",
        "The content is {size} bytes long; at most {limit} bytes are taken.",
        "اختصر نص الكتاب أو قسّمه إلى أكثر من كتاب.",
        "Shorten the letter or divide it into several.",
    ),
    E.SIGNATURE_INVALID: T(
        422,
        "التوقيع غير صحيح: الوثيقة معدّلة أو لم يوقّعها المفتاح {kid}.",
        "The signature is wrong: the document was altered, or was not signed by key {kid}.",
        _NEVER_TRUST_AR,
        _NEVER_TRUST_EN,
    ),
    E.SIGNER_NOT_LAWFUL: T(
        422,
        "لا يحق توقيع هذه الوثيقة إلا للجهة {lawful}، وقد وقّعتها الجهة {agency}.",
        "Only {lawful} may sign this document; {agency} signed it.",
        _NEVER_TRUST_AR,
        _NEVER_TRUST_EN,
    ),
    E.SURROGATE_LONE: T(
        400,
        "في النص رمز ناقص (نصف زوج بديل).",
        "The text has half a surrogate pair.",
        _FIX_JSON_AR,
        _FIX_JSON_EN,
    ),
    E.TEXT_NOT_NFC: T(
        422,
        "النص ليس بالصيغة الموحدة NFC، ابتداءً من الموضع {position}.",
        "The text is not in Unicode normal form NFC, from position {position} on.",
        "حوّل النص إلى الصيغة NFC ثم أعد الإرسال.",
        "Normalise the text to NFC and send it again.",
    ),
    E.TOKEN_MALFORMED: T(
        422,
        "الوثيقة ليست بصيغة JWS المختصرة.",
        "The document is not a compact JWS.",
        _RESEND_AR,
        _RESEND_EN,
    ),
    E.TOKEN_TOO_LARGE: T(
        413,
        "حجم الوثيقة الموقّعة {size} بايت، والحد الأقصى {limit} بايت.",
        "The signed document is {size} bytes long; at most {limit} bytes are taken.",
        _RESEND_AR,
        _RESEND_EN,
    ),
    E.TOKEN_TYPE_WRONG: T(
        422,
        "نوع الوثيقة الموقّعة {found}، والمطلوب {expected}.",
        "The signed document is of type {found}; {expected} was expected.",
        _NEVER_TRUST_AR,
        _NEVER_TRUST_EN,
    ),
}
