"""What the operating system says of a file, a folder or a port that it refuses, in Arabic."""

import errno
import os
from collections.abc import Mapping
from types import MappingProxyType

_NO_SPACE = "لا مساحة خالية على القرص"

ARABIC: Mapping[str, str] = MappingProxyType(
    {
        os.strerror(code): ar
        for code, ar in {
            errno.EACCES: "الصلاحيات لا تسمح بذلك",
            errno.EADDRINUSE: "المنفذ مستخدم من قبل",
            errno.EADDRNOTAVAIL: "العنوان ليس من عناوين هذا الجهاز",
            errno.EDQUOT: _NO_SPACE,
            errno.EEXIST: "الاسم موجود من قبل",
            errno.EIO: "خطأ في القراءة من القرص أو الكتابة إليه",
            errno.EISDIR: "هذا مجلد وليس ملفاً",
            errno.ELOOP: "سلسلة الروابط الرمزية لا تنتهي",
            errno.EMFILE: "بلغ البرنامج الحد الأعلى للملفات المفتوحة",
            errno.ENAMETOOLONG: "الاسم أطول من المسموح",
            errno.ENOENT: "لا يوجد ملف ولا مجلد بهذا الاسم",
            errno.ENOSPC: _NO_SPACE,
            errno.ENOTDIR: "جزء من المسار ليس مجلداً",
            errno.EPERM: "النظام لا يسمح بذلك",
            errno.EROFS: "القرص للقراءة فقط",
        }.items()
    }
)
"""By the system's own words (``strerror``), which is what an error's ``problem`` holds."""
