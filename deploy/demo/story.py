"""The story: 52 agencies, their letters, a circular, a power cut, an intruder, and an account of all of it."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from agency_adapter import labels
from agency_adapter.client import segment
from broker.management import Management
from deploy.demo import intruder, letters
from deploy.demo.account import Books
from deploy.demo.fleet import ABSENT, Fleet, hosted
from deploy.demo.stage import Stage, eventually
from deploy.demo.telling import Telling
from schemas.agencies import AGENCIES, connected
from schemas.delivery import TERMINAL_STATES
from schemas.hijri import printed

SENDER, RECIPIENT, AUDITOR = "MPW", "MOF", "SAB"
ALONE = (SENDER, RECIPIENT, AUDITOR)
"""Each in a process of its own, to be looked at and killed; the others share a few."""

CODES = tuple(agency.code for agency in connected())
FOLLOW_UPS = 100
CLERK = "كاتب السجل العام"
UNIT = "شؤون الميزانية"


class Story:
    """Tells and does everything on ``stage``, in order; each step waits for its effect."""

    def __init__(self, stage: Stage, telling: Telling) -> None:
        self._stage = stage
        self._telling = telling
        self.letter_id = ""

    def play(self) -> None:
        """From the first adapter to the last timeline; the programs run on."""
        fleet = Fleet(self._stage, self._telling) if len(self._stage.codes) > len(ALONE) else None
        self._set()
        self._send()
        self._register_and_reply()
        self._power_cut()
        if fleet is not None:
            fleet.send_circular()
        self._intrude()
        if fleet is not None:
            fleet.send_to_who_is_not_there()
            fleet.catch_up()
        self._show_record()
        self._show_timeline()
        self._verify()

    def _set(self) -> None:
        stage, telling = self._stage, self._telling
        telling.chapter("المسرح", "the stage")
        telling.say(
            "وسيط RabbitMQ حقيقي لا يقبل إلا شهادة عميل عبر TLS 1.3، ولكل جهة محوّل بمفاتيحه ومخزنه وحسابه؛ "
            "ثلاثة منها في عمليات مستقلة.",
            "A real RabbitMQ that takes nothing but client certificates over TLS 1.3; each agency has an adapter with "
            "its own keys, store and account; three of them are processes of their own.",
        )
        others = hosted([code for code in stage.codes if code not in (*ALONE, ABSENT)])
        stage.begin_authority()
        stage.start(*ALONE, *others)
        with stage.management() as management:
            exchanges = sum(
                1 for each in management.get("/api/exchanges/tarasul") if not each["name"].startswith("amq.")
            )
            queues = len(management.get("/api/queues/tarasul"))
            connections = eventually(lambda: self._connections(management), "connections counted")
        stores = len(list((stage.folder / "agencies").glob("*/store.db")))
        telling.facts(
            (("الوسيط", "broker"), f"RabbitMQ {stage.node.version}"),
            (("حسابات الوسيط", "broker accounts"), str(stage.note_users())),
            (("البنية", "topology"), f"{exchanges} exchanges, {queues} queues"),
            (("الاتصالات", "connections"), f"{connections} (TLS 1.3, EXTERNAL)"),
            (("المخازن", "stores"), str(stores)),
            (("العمليات", "processes"), str(stage.processes)),
        )
        rows: list[tuple[str, str, tuple[str, str]]] = [
            (code, str(stage.pid(code)), (AGENCIES[code].name_ar, AGENCIES[code].name_en)) for code in ALONE
        ]
        rows += [
            (f"{codes[0]} … {codes[-1]}", str(stage.pid(codes[0])), ("", f"{len(codes)} agencies")) for codes in others
        ]
        telling.table(("الجهات", "agencies"), (("الرمز", "code"), ("العملية", "process"), ("الجهة", "agency")), rows)

    def _connections(self, management: Management) -> int:
        """Connections of agencies, once the broker's statistics know two for each adapter that runs."""
        users = [str(each["user"]) for each in management.get("/api/connections?columns=user")]
        count = sum(user in AGENCIES for user in users)
        return count if count == 2 * sum(code != ABSENT for code in self._stage.codes) else 0

    def _send(self) -> None:
        telling = self._telling
        telling.chapter("كتاب رسمي", "an official letter")
        accepted = self._stage.client(SENDER).post("/v1/letters", letters.ROADS, {"Idempotency-Key": "roads-1"})
        self.letter_id = accepted["id"]
        letter = self._until_ended(self.letter_id)
        telling.facts(
            (("من", "from"), (AGENCIES[SENDER].name_ar, SENDER)),
            (("إلى", "to"), (AGENCIES[RECIPIENT].name_ar, RECIPIENT)),
            (("نسخة إلى", "copy to"), (AGENCIES[AUDITOR].name_ar, AUDITOR)),
            (("رقم الصادر", "outgoing no."), accepted["outgoing_no"]),
            (("التاريخ", "date"), (printed(letter["letter"]["hijri_date"]), "الموافق", letter["issued_at"][:10])),
            (("الموضوع", "subject"), letter["subject"]),
            (("البصمة", "digest"), accepted["digest"]),
        )
        telling.say(
            "وقّع المحوّل الكتاب وحفظه قبل أن يقول «قُبل»، ثم سلّمه الوسيط، ووقّعت كل جهة إيصالها:",
            "The adapter signed and stored the letter before it said 'accepted'; the broker carried it; each recipient "
            "signed its receipt:",
        )
        telling.printer.transmissions(letter)

    def _register_and_reply(self) -> None:
        telling = self._telling
        telling.chapter("القيد والرد", "registration and reply")
        act = {"registered_by": CLERK, "unit": UNIT}
        registered = self._stage.client(RECIPIENT).post(f"/v1/inbox/{segment(self.letter_id)}/registration", act)
        known = eventually(lambda: self._transmission(self.letter_id, RECIPIENT)["registered_no"], "registered")
        telling.facts(
            (("رقم الوارد لدى الجهة", "incoming no."), registered["incoming_no"]),
            (("قيّده", "registered by"), (CLERK, "a clerk of the registry")),
            (("في", "at"), registered["registered_at"][:19].replace("T", " ")),
            (("كما يراه المرسل", "as the sender sees it"), known),
        )
        arrived = self._stage.client(RECIPIENT).get(f"/v1/letters/{segment(self.letter_id)}")
        request = letters.reply_to(arrived["outgoing_no"], arrived["issued_at"][:10], arrived["thread_id"])
        reply = self._stage.client(RECIPIENT).post("/v1/letters", request, {"Idempotency-Key": "reply-1"})
        ended = self._until_ended(reply["id"], of=RECIPIENT)
        telling.facts(
            (("رد برقم", "reply no."), reply["outgoing_no"]),
            (("الموضوع", "subject"), ended["subject"]),
            (("حالته", "state"), labels.words(labels.TRANSMISSION_STATES, ended["transmissions"][0]["state"])),
        )

    def _power_cut(self) -> None:
        stage, telling = self._stage, self._telling
        telling.chapter("انقطاع مفاجئ", "a power cut")
        before = self._count(RECIPIENT, "tarasul_inbox_letters")
        pid = stage.pid(RECIPIENT)
        stage.kill(RECIPIENT)
        telling.say(
            f"قُتل محوّل {AGENCIES[RECIPIENT].name_ar} (العملية {pid}) بالإشارة SIGKILL.",
            f"The adapter of {RECIPIENT} (process {pid}) was killed with SIGKILL.",
        )
        sender = stage.client(SENDER)
        sent: list[str] = []
        with telling.counting(
            f"إرسال {FOLLOW_UPS} كتاب إلى الجهة المنقطعة", f"sending {FOLLOW_UPS} letters", FOLLOW_UPS
        ) as bar:
            for number in range(1, FOLLOW_UPS + 1):
                accepted = sender.post("/v1/letters", letters.follow_up(number), {"Idempotency-Key": f"due-{number}"})
                sent.append(accepted["id"])
                bar(len(sent))
        eventually(lambda: self._count(SENDER, "tarasul_transmissions", state="sent") == FOLLOW_UPS, "sent")
        telling.say(
            f"الكتب ({FOLLOW_UPS}) لدى الوسيط ولم تُسلَّم بعد. يعود المحوّل إلى العمل:",
            f"All {FOLLOW_UPS} are with the broker, none is delivered yet. The adapter starts again:",
        )
        stage.start(RECIPIENT)
        with telling.counting("سُلِّم منها", "delivered", FOLLOW_UPS) as bar:

            def all_delivered() -> bool:
                left = self._count(SENDER, "tarasul_transmissions", state="sent")
                bar(FOLLOW_UPS - left)
                return left == 0

            eventually(all_delivered, "delivered")
        arrived = self._count(RECIPIENT, "tarasul_inbox_letters") - before
        telling.facts(
            (("أُرسل", "sent"), str(len(sent))),
            (("وصل إلى الوارد", "arrived in the inbox"), str(arrived)),
        )

    def _intrude(self) -> None:
        stage, telling = self._stage, self._telling
        telling.chapter("متسلل يملك حساب جهة حقيقية", "an intruder with an agency's real account")
        telling.say(
            f"من يملك حساب {AGENCIES[AUDITOR].name_ar} لدى الوسيط ينشر إلى {AGENCIES[RECIPIENT].name_ar} كتاباً مزوراً، "
            "وآخر معدّلاً، ونسخة أصلية معادة من كتاب الأشغال، ورسالة مسمومة تُسقط قارئاً غير حذر.",
            f"Whoever holds {AUDITOR}'s broker account publishes to {RECIPIENT} a forged letter, an altered one, "
            f"a genuine letter of {SENDER}, replayed, and one made to kill a careless reader.",
        )
        genuine = stage.client(AUDITOR).get_bytes(f"/v1/letters/{segment(self.letter_id)}/jws")
        before = self._evidence()
        address = intruder.account(stage.agency(AUDITOR), f"localhost:{stage.node.amqps_port}")
        messages = intruder.hostile_messages(genuine)
        confirmed = asyncio.run(intruder.publish(address, AUDITOR, f"{RECIPIENT}.urgent", messages))

        def quarantined() -> list[Mapping[str, Any]] | None:
            items: list[Mapping[str, Any]] = stage.client(RECIPIENT).get("/v1/quarantine", limit=200)["items"]
            return items if len(items) >= len(messages) else None

        items = eventually(quarantined, "quarantined") or []
        telling.facts((("قبلها الوسيط", "taken by the broker"), ", ".join(confirmed)))
        telling.printer.quarantine(items)
        if self._evidence() != before:
            raise RuntimeError("the intruder changed a letter, or caused a receipt")
        telling.say(
            "هي في الحجر لدى الجهة وأُبلغت بها السلطة؛ لم يتغير كتاب، ولم يصدر إيصال.",
            "They stand in the quarantine and the authority is told; no letter changed, no receipt was given.",
        )

    def _show_record(self) -> None:
        """The journal is complete, also where its reader was away; the dead letters are listed with their reasons."""
        stage, telling = self._stage, self._telling
        telling.chapter("سجل السلطة", "the authority's record")
        config = ("--config", str(stage.authority))

        def judged() -> list[dict[str, Any]] | None:
            items: list[dict[str, Any]] = json.loads(stage.run("authority", "dead-letters", "list", "--json", *config))[
                "items"
            ]
            return items if items and not any(item["verdict"] in {"new", "waiting"} for item in items) else None

        eventually(judged, "dead letters judged")
        telling.say(
            "كل ما أكّده الوسيط مقيَّد في السجل المركزي، وما تعذّر تسليمه مدرج بسببه:",
            "All that the broker confirmed stands in the journal; what no inbox took is listed with its reason:",
        )
        for line in stage.run("authority", "dead-letters", "list", *config).splitlines():
            telling.printer.line(line)

    def _show_timeline(self) -> None:
        self._telling.chapter("مسار الكتاب الأول كما يراه مرسله", "the first letter's timeline, as its sender sees it")
        timeline = self._stage.client(SENDER).get(f"/v1/letters/{segment(self.letter_id)}/timeline")
        self._telling.printer.timeline(timeline["entries"])

    def _verify(self) -> None:
        stage, telling = self._stage, self._telling
        telling.chapter("التحقق دون اتصال", "verification offline")
        letter = stage.folder / "letter.jws"
        letter.write_bytes(stage.client(RECIPIENT).get_bytes(f"/v1/letters/{segment(self.letter_id)}/jws"))
        authority = stage.folder / "authority"
        arguments = [
            str(letter),
            "--anchor",
            str(authority / "root.pem"),
            "--directory",
            str(authority / "directory.jws"),
        ]
        telling.printer.line("$ tarasul verify", *[argument.replace(f"{stage.folder}/", "") for argument in arguments])
        for line in stage.run("verify", *arguments).splitlines():
            telling.printer.line(line)

    # What is looked at

    def _letter(self, letter_id: str, of: str = SENDER) -> dict[str, Any]:
        return self._stage.client(of).get(f"/v1/letters/{segment(letter_id)}")

    def _transmission(self, letter_id: str, recipient: str) -> Mapping[str, Any]:
        found: Mapping[str, Any] = next(
            each for each in self._letter(letter_id)["transmissions"] if each["recipient"] == recipient
        )
        return found

    def _until_ended(self, letter_id: str, of: str = SENDER) -> dict[str, Any]:
        def ended() -> dict[str, Any] | None:
            letter = self._letter(letter_id, of)
            return letter if all(each["state"] in TERMINAL_STATES for each in letter["transmissions"]) else None

        return eventually(ended, f"outcome of {letter_id}") or {}

    def _count(self, code: str, metric: str, **labelled: str) -> int:
        """Sum of a metric's samples whose labels are as given."""
        total = 0
        for line in self._stage.client(code).get_bytes("/metrics").decode("utf-8").splitlines():
            name, _, rest = line.partition("{")
            if name == metric and all(f'{label}="{value}"' in rest for label, value in labelled.items()):
                total += int(float(rest.rpartition(" ")[2]))
        return total

    def _evidence(self) -> dict[str, Any]:
        """What an intruder could have changed: the victim's letters, the sender's states and receipts."""
        return {
            "inbox": self._count(RECIPIENT, "tarasul_inbox_letters"),
            "letter": self._letter(self.letter_id),
            "received": self._count(SENDER, "tarasul_receipts_stored_total"),
            "rejected": self._count(SENDER, "tarasul_receipts_rejected_total"),
        }


def tell_books(books: Books, telling: Telling) -> None:
    """The account, in words."""
    telling.chapter("الحساب الختامي", "the books")
    telling.facts(
        (("المخازن المقروءة", "stores read"), str(books.agencies)),
        (("حسابات الوسيط", "broker accounts"), str(books.broker_users)),
        (("كتب مقبولة", "letters accepted"), str(books.accepted)),
        (("إرساليات", "transmissions"), str(books.transmissions)),
        (("سُلِّم", "delivered"), str(books.delivered)),
        (("تعذّر تسليمه", "not delivered"), str(books.not_delivered)),
        (("رُفِض", "refused"), str(books.refused)),
        (("بقي معلقاً", "left over"), str(books.left_over)),
        (("تكرر", "twice"), str(books.twice)),
        (("لم يُتحقق منه", "unverified"), str(books.unverified)),
        (("رسائل دخيلة", "intruders"), str(len(books.intruders))),
        (("في السجل المركزي", "in the journal"), str(books.journalled)),
        (
            ("رسائل متعذّرة", "dead letters"),
            ", ".join(f"{verdict} {count}" for verdict, count in sorted(books.dead_letters.items())) or "0",
        ),
    )
    for difference in books.differences:
        telling.printer.line(difference)
    if books.balanced:
        telling.say("الحساب متوازن: كل كتاب معلوم المصير.", "The books balance: every letter is accounted for.")
    else:
        telling.say("الحساب غير متوازن.", "The books do not balance.")
