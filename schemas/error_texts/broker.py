"""Texts of the codes about RabbitMQ, its topology and the session with it."""

from collections.abc import Mapping

from schemas.error_codes import ErrorCode as E
from schemas.error_codes import ErrorText as T

TEXTS: Mapping[E, T] = {
    E.BROKER_BLOCKED: T(
        503,
        "أوقف وسيط الرسائل النشر مؤقتاً لنفاد الذاكرة أو مساحة القرص لديه.",
        "The broker has stopped publishing for want of memory or disk.",
        "لا يلزم إجراء من الجهة: تبقى الكتب محفوظة وتُرسل تلقائياً. على المشغّل توفير مساحة للوسيط.",
        "Nothing is needed from the agency: letters are kept. The operator frees space.",
    ),
    E.BROKER_REFUSED: T(
        502,
        "رفض وسيط الرسائل الطلب {request}.\nالتفاصيل التقنية: {problem_ar}",
        "The broker refused {request}: {problem}.",
        "تحقق من صلاحيات المستخدم الإداري ومن إصدار RabbitMQ (من 3.10.8 إلى 4.3).",
        "Check the management user's rights and the release of RabbitMQ (3.10.8 to 4.3).",
    ),
    E.BROKER_UNREACHABLE: T(
        503,
        "تعذّر الاتصال بوسيط الرسائل في {address}.",
        "The broker at {address} cannot be reached.",
        "تحقق من عمل الوسيط ومن الشبكة ومن عنوانه في الإعدادات.",
        "Check that the broker runs, the network, and its address in the settings.",
    ),
    E.DISK_TOO_SMALL: T(
        422,
        "تحتاج صناديق البريد إلى {needed} بايت، ولا يُسمح لها إلا بـ {allowed} بايت من قرص الوسيط.",
        "The mailboxes may grow to {needed} bytes; they may use {allowed} bytes of the broker's disk.",
        "زد مساحة القرص أو صغّر حدود صناديق البريد.",
        "Enlarge the disk or lower the size limits of the mailboxes.",
    ),
    E.NODE_NOT_STARTED: T(
        503,
        "لم يبدأ وسيط الرسائل الخاص.\nالتفاصيل التقنية: {problem_ar}",
        "The private broker node did not start: {problem}.",
        "راجع السجل {log}.",
        "Read the log {log}.",
    ),
    E.NOT_CONNECTED: T(
        503,
        "المحوّل غير متصل بوسيط الرسائل.",
        "The adapter is not connected to the broker.",
        "انتظر إعادة الاتصال التلقائية؛ ما قُبل من الكتب محفوظ. إن طال الأمر فتحقق من الشبكة.",
        "Wait: it reconnects by itself and accepted letters are kept. If it lasts, check the network.",
    ),
    E.QUEUE_NOT_EMPTY: T(
        409,
        "لن يُحذف الصندوق {queue} لأن فيه {messages} رسالة.",
        "Queue {queue} is not deleted: it holds {messages} messages.",
        "انتظر حتى تُستلم الرسائل، أو انقلها إلى الجهة الخلف، ثم أعد التنفيذ.",
        "Wait until the messages are taken, or move them to the successor, then apply again.",
    ),
    E.RABBITMQ_NOT_FOUND: T(
        503,
        "لم يُعثر على برنامج RabbitMQ في هذا الجهاز.",
        "RabbitMQ is not installed on this machine.",
        "ثبّت الحزمة rabbitmq-server، أو حدّد مكانها بالمتغير RABBITMQ_HOME.",
        "Install the package rabbitmq-server, or name its place in RABBITMQ_HOME.",
    ),
    E.TOPOLOGY_DRIFT: T(
        409,
        "تكوين الوسيط لا يطابق دليل الجهات: {differences} من الفروق.",
        "The broker's topology does not agree with the directory: {differences} differences.",
        "راجع الفروق بالأمر «tarasul authority topology plan» ثم نفّذ apply.",
        "Read the differences with 'tarasul authority topology plan', then apply.",
    ),
}
