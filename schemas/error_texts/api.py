"""Texts of the codes about the local API and its client: requests, parameters, answers."""

from collections.abc import Mapping

from schemas.error_codes import ErrorCode as E
from schemas.error_codes import ErrorText as T

TEXTS: Mapping[E, T] = {
    E.ANSWER_UNREADABLE: T(
        502,
        "ورد من {address} جواب ليس جواب محوّل.",
        "The answer from {address} is not an adapter's.",
        "تحقق من العنوان والمنفذ في ملف الإعدادات.",
        "Check host and port in the settings file.",
    ),
    E.API_ADDRESS_UNUSABLE: T(
        500,
        "لا يمكن فتح الواجهة المحلية على العنوان {address}.\nالتفاصيل التقنية: {problem_ar}",
        "The local API cannot listen on {address}: {problem}.",
        "أوقف ما يشغل هذا المنفذ، أو غيّر api.port في ملف الإعدادات.",
        "Stop what uses that port, or change api.port in the settings.",
    ),
    E.API_TOKEN_UNUSABLE: T(
        500,
        "رمز الدخول إلى الواجهة أقصر من {least} محرفاً أو فيه محارف غير مسموحة.",
        "The API's bearer token is shorter than {least} characters, or not visible ASCII.",
        "احذف ملف الرمز؛ يُنشئ المحوّل رمزاً جديداً عند التشغيل.",
        "Delete the token file; the adapter makes a new token when it starts.",
    ),
    E.FILE_UNREADABLE: T(
        422,
        "تعذّرت قراءة الملف {path}.\nالتفاصيل التقنية: {problem_ar}",
        "The file {path} cannot be read: {problem}.",
        "تحقق من المسار ومن الصلاحيات.",
        "Check the path and your rights.",
    ),
    E.IDEMPOTENCY_KEY_INVALID: T(
        422,
        "الترويسة Idempotency-Key مرة واحدة، من 1 إلى 128 محرفاً لاتينياً مرئياً.",
        "Idempotency-Key stands once and has 1 to 128 visible ASCII characters.",
        "استخدم مفتاحاً مثل UUID لكل كتاب.",
        "Use a key such as a UUID for each letter.",
    ),
    E.INTERNAL: T(
        500,
        "خطأ داخلي، رقم الواقعة {incident}.",
        "Internal error, incident {incident}.",
        "أبلغ قسم تقنية المعلومات برقم الواقعة؛ السبب مدوّن تحته في سجل المحوّل.",
        "Tell your IT the incident's number; the cause stands under it in the adapter's log.",
    ),
    E.MEDIA_TYPE_WRONG: T(
        415,
        "محتوى الطلب ليس application/json بترميز UTF-8 دون ضغط.",
        "The request's content is not uncompressed application/json in UTF-8.",
        "أرسل الترويسة Content-Type: application/json دون Content-Encoding.",
        "Send the header Content-Type: application/json and no Content-Encoding.",
    ),
    E.MEMBER_MISSING: T(
        422,
        "الحقل {place} ناقص.",
        "The member {place} is missing.",
        "أضف الحقل ثم أعد الإرسال.",
        "Add the member, then send again.",
    ),
    E.METHOD_NOT_ALLOWED: T(
        405,
        "لا يقبل هذا العنوان الطريقة {method}.",
        "This address does not take {method}.",
        "راجع وصف الواجهة في ‎/openapi.json.",
        "See the description at /openapi.json.",
    ),
    E.NOT_FOUND: T(
        404,
        "لا يوجد شيء في العنوان {path}.",
        "There is nothing at {path}.",
        "راجع وصف الواجهة في ‎/openapi.json.",
        "See the description at /openapi.json.",
    ),
    E.OUTCOME_PENDING: T(
        503,
        "قُبل الكتاب {id}، ولم تكتمل نتائجه خلال {seconds} ثانية.",
        "Letter {id} is accepted; not every outcome has come within {seconds} seconds.",
        "تابعه بالأمر «tarasul agency timeline {id}».",
        "Follow it with 'tarasul agency timeline {id}'.",
    ),
    E.PARAMETER_INVALID: T(
        422,
        "قيمة المعامل {parameter} غير صالحة.",
        "The value of the parameter {parameter} is not valid.",
        "صحّح القيمة؛ وصفها في ‎/openapi.json.",
        "Correct the value; it is described at /openapi.json.",
    ),
    E.PARAMETER_UNKNOWN: T(
        422,
        "المعامل {parameter} غير معروف.",
        "The parameter {parameter} is not known.",
        "احذف المعامل أو صحّح اسمه.",
        "Remove the parameter or correct its name.",
    ),
    E.REQUEST_MALFORMED: T(
        400,
        "طلب HTTP غير سليم.",
        "The HTTP request is malformed.",
        "راجع وصف الواجهة في ‎/openapi.json.",
        "See the description at /openapi.json.",
    ),
    E.REQUEST_TIMEOUT: T(
        408,
        "لم يكتمل وصول الطلب خلال {seconds} ثانية.",
        "The request has not arrived within {seconds} seconds.",
        "أعد الإرسال بالمفتاح Idempotency-Key نفسه.",
        "Send it again with the same Idempotency-Key.",
    ),
    E.VALUE_NOT_LISTED: T(
        422,
        "القيمة في {place} ليست من القيم المسموحة: {expected}.",
        "The value at {place} is none of those allowed: {expected}.",
        "اختر قيمة من القيم المسموحة.",
        "Choose one of the allowed values.",
    ),
    E.VALUE_OUT_OF_RANGE: T(
        422,
        "القيمة في {place} خارج الحدود ({limits}).",
        "The value at {place} is outside its limits ({limits}).",
        "صحّح القيمة ثم أعد الإرسال.",
        "Correct the value, then send again.",
    ),
    E.VALUE_WRONG_TYPE: T(
        422,
        "القيمة في {place} من نوع غير النوع المطلوب.",
        "The value at {place} is not of the required type.",
        "صحّح القيمة ثم أعد الإرسال.",
        "Correct the value, then send again.",
    ),
}
