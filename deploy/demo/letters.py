"""The letters of the demonstration: ordinary ones, by post, about invented works."""

from collections.abc import Sequence
from typing import Any

ROADS = {
    "type": "letter.general/1",
    "sender": {"unit": "قطاع هندسة الطرق", "post": "وكيل الوزارة"},
    "recipients": [
        {"agency": "MOF", "units": ["شؤون الميزانية"], "role": "to"},
        {"agency": "SAB", "role": "cc"},
    ],
    "urgency": "URGENT",
    "reply": {"required": True},
    "content": {
        "subject": "طلب تعزيز مخصصات صيانة طريق الدائري السادس",
        "body": (
            "تحية طيبة وبعد،\n\n"
            "بالإشارة إلى الموضوع أعلاه، نفيدكم بأن أعمال الصيانة الجذرية للطريق المذكور قد أُنجز منها ما نسبته 60٪، "
            "وأن المخصصات المدرجة للسنة المالية الحالية لا تغطي ما تبقى منها.\n"
            "لذا يرجى التفضل بالموافقة على تعزيز البند بمبلغ 4,760,693.134 د.ك، مع العلم بأن ديوان المحاسبة قد زُوّد "
            "بنسخة من هذا الكتاب.\n\nوتفضلوا بقبول فائق الاحترام،"
        ),
        "signatories": [{"post": "وكيل الوزارة"}],
    },
}


def reply_to(outgoing_no: str, issued_on: str, thread_id: str) -> dict[str, Any]:
    """The ministry's answer to :data:`ROADS`."""
    cited = {"agency": "MPW", "outgoing_no": outgoing_no, "date": issued_on}
    return {
        "type": "reply/1",
        "sender": {"unit": "شؤون الميزانية", "post": "مدير الإدارة"},
        "recipients": [{"agency": "MPW", "role": "to"}],
        "thread_id": thread_id,
        "references": [cited | {"relation": "REPLIES_TO"}],
        "content": {
            "subject": "الموافقة على تعزيز مخصصات صيانة الطرق",
            "body": (
                "تحية طيبة وبعد،\n\nبالإشارة إلى كتابكم المذكور أعلاه، نفيدكم بالموافقة على التعزيز المطلوب خصماً على "
                "البند المختص.\n\nوتفضلوا بقبول فائق الاحترام،"
            ),
            "fields": {"in_reply_to": cited, "outcome": "ACCEPTED", "final": True},
        },
    }


def follow_up(number: int) -> dict[str, Any]:
    """One of a hundred short letters."""
    return {
        "recipients": [{"agency": "MOF", "role": "to"}],
        "content": {
            "subject": f"كشف الدفعات المستحقة رقم {number}",
            "body": f"تحية طيبة وبعد،\n\nنرفق لكم بيان الدفعة المستحقة رقم {number} لعقد صيانة الطرق.",
        },
    }


def circular(recipients: Sequence[str], year: int, effective_from: str) -> dict[str, Any]:
    """From the Civil Service Commission to everybody."""
    return {
        "type": "circular/1",
        "recipients": [{"agency": code, "role": "to"} for code in recipients],
        "action": "FOR_INFO",
        "content": {
            "subject": f"تعميم رقم (9) لسنة {year} بشأن مواعيد العمل",
            "body": (
                "تحية طيبة وبعد،\n\nيُرجى من جميع الجهات الحكومية الالتزام بمواعيد العمل الواردة في هذا التعميم "
                "اعتباراً من التاريخ المبين، وقيده لديها.\n\nوتفضلوا بقبول فائق الاحترام،"
            ),
            "fields": {"circular_no": 9, "year": year, "effective_from": effective_from, "audience": "ALL"},
            "signatories": [{"post": "رئيس ديوان الخدمة المدنية"}],
        },
    }


def farewell(recipient: str, name: str) -> dict[str, Any]:
    """To an agency that has left the backbone; the sender does not know it yet."""
    return {
        "recipients": [{"agency": recipient, "role": "to"}],
        "content": {
            "subject": "طلب موافاتنا بكشف الأصول",
            "body": f"تحية طيبة وبعد،\n\nيرجى من {name} موافاتنا بالكشف.",
        },
    }


def overdue(recipient: str, expires_at: str) -> dict[str, Any]:
    """A letter whose last moment of delivery comes soon."""
    return {
        "recipients": [{"agency": recipient, "role": "to"}],
        "urgency": "IMMEDIATE",
        "expires_at": expires_at,
        "content": {"subject": "دعوة إلى اجتماع عاجل اليوم", "body": "تحية طيبة وبعد،\n\nيُعقد الاجتماع بعد قليل."},
    }
