"""Texts of the codes about running an adapter: settings, stores, readiness."""

from collections.abc import Mapping

from schemas.error_codes import ErrorCode as E
from schemas.error_codes import ErrorText as T

TEXTS: Mapping[E, T] = {
    E.AGENCY_UNKNOWN: T(
        422,
        "لا جهة بالرمز {agency} في قائمة الجهات.",
        "No agency with the code {agency} is in the list of agencies.",
        "تحقق من الرمز: من حرفين إلى ثمانية أحرف لاتينية كبيرة.",
        "Check the code: two to eight capital letters.",
    ),
    E.ALREADY_BOOTSTRAPPED: T(
        409,
        "المجلد {path} ليس فارغاً؛ ولا يُستبدل ما فيه، ولا مفاتيح سلطة قائمة.",
        "The folder {path} is not empty; nothing in it, and no authority's keys, are ever replaced.",
        "اختر مجلداً فارغاً.",
        "Choose an empty folder.",
    ),
    E.DEAD_LETTER_NOT_FOUND: T(
        404,
        "لا رسالة متعذّرة برقم {number}.",
        "There is no dead letter number {number}.",
        "راجع القائمة بالأمر «tarasul authority dead-letters list».",
        "See 'tarasul authority dead-letters list'.",
    ),
    E.JOURNAL_GAP_NOT_FOUND: T(
        404,
        "لا فجوة في السجل برقم {number}.",
        "The journal has no gap number {number}.",
        "راجع القائمة بالأمر «tarasul authority journal gaps».",
        "See 'tarasul authority journal gaps'.",
    ),
    E.MARK_INVALID: T(
        500,
        "ملف علامة التسلسل {path} تالف أو غير مقروء.",
        "The sequence mark {path} is damaged or cannot be read.",
        "استعد الملف من النسخة الاحتياطية؛ ولا تحذفه، فهو يمنع صرف رقم مرتين.",
        "Restore the file from the backup; do not delete it, it keeps numbers from being given twice.",
    ),
    E.NOT_IN_THE_LOG: T(
        404,
        "ليس في السجل ما طُلب.",
        "The log has nothing of what was asked for.",
        "تحقق من البصمة؛ وما دُوّن للتو يدخل السجل خلال ثوانٍ.",
        "Check the digest; what has just been recorded is in the log within seconds.",
    ),
    E.NOT_REACHABLE: T(
        503,
        "تعذّر الاتصال بالمحوّل في {address}.",
        "The adapter at {address} cannot be reached.",
        "شغّل المحوّل بالأمر «tarasul agency run» أو صحّح العنوان.",
        "Start it with 'tarasul agency run', or correct the address.",
    ),
    E.NOT_READY: T(
        503,
        "المحوّل غير جاهز: {reason}.",
        "The adapter is not ready: {reason}.",
        "عالج السبب المذكور؛ يعود المحوّل جاهزاً من تلقاء نفسه.",
        "Remove the stated cause; the adapter becomes ready by itself.",
    ),
    E.OUTPUT_UNWRITABLE: T(
        500,
        "نُفّذ الأمر، وتعذّرت كتابة نتيجته كاملة.\nالتفاصيل التقنية: {problem_ar}",
        "The command was carried out; its result could not be written in full: {problem}.",
        "وفّر مساحة أو اكتب النتيجة في مكان آخر؛ وما كُتب منها ناقص.",
        "Make room, or write the result elsewhere; what was written of it is not whole.",
    ),
    E.SETTINGS_INVALID: T(
        500,
        "ملف الإعدادات {path} غير صحيح.\nالتفاصيل التقنية: {problem_ar}",
        "The settings file {path} is not valid: {problem}.",
        "صحّح الإعداد المذكور ثم أعد التشغيل.",
        "Correct the setting that is named, then start again.",
    ),
    E.STORAGE_FULL: T(
        503,
        "لا تكفي مساحة القرص لدى المحوّل لقبول كتب جديدة.",
        "The adapter's disk has no room to accept new letters.",
        "وفّر مساحة ثم أعد الإرسال؛ ما قُبل من قبل محفوظ.",
        "Free some space and send again; what was accepted before is safe.",
    ),
    E.STORE_FOREIGN: T(
        500,
        "قاعدة البيانات تخص الجهة {owner} لا الجهة {agency}.",
        "The store belongs to agency {owner}, not to {agency}.",
        "صحّح مسار قاعدة البيانات في الإعدادات.",
        "Correct the store's path in the settings.",
    ),
    E.STORE_LOCKED: T(
        503,
        "قاعدة البيانات {path} قيد الاستخدام من عملية أخرى.",
        "The store {path} is in use by another process.",
        "أوقف المحوّل الآخر أولاً؛ لا يعمل على قاعدة البيانات إلا محوّل واحد.",
        "Stop the other adapter first; only one may work on a store.",
    ),
    E.STORE_MISSING: T(
        503,
        "لا قاعدة بيانات للسلطة بعد في {path}.",
        "There is no store of the authority in {path} yet.",
        "تحقق من «store» في الإعدادات؛ وينشئها الأمر «tarasul authority run» عند أول تشغيل.",
        "Check 'store' in the settings; 'tarasul authority run' makes it at its first start.",
    ),
    E.STORE_NEWER: T(
        500,
        "قاعدة البيانات أنشأها إصدار أحدث ({revision}).",
        "The store was made by a newer release ({revision}).",
        "شغّل الإصدار الأحدث من البرنامج.",
        "Run the newer release of the program.",
    ),
    E.STORE_OLDER: T(
        500,
        "قاعدة البيانات من إصدار أقدم ({revision}) من هذا البرنامج، والعرض لا يغيّرها.",
        "The store is of an older release ({revision}) than this program, and a listing does not change it.",
        "شغّل «tarasul authority run» من هذا الإصدار فيحدّثها، أو استعمل البرنامج القديم للعرض.",
        "Start 'tarasul authority run' of this release, which brings it up to date, or list with the older program.",
    ),
    E.STORE_UNAVAILABLE: T(
        503,
        "تعذّرت الكتابة في قاعدة البيانات.",
        "The store cannot be written.",
        "تحقق من القرص ومن صلاحيات الملفات ثم أعد المحاولة.",
        "Check the disk and the file permissions, then try again.",
    ),
}
