"""The chapters that need everybody: a circular to 51, an agency that is away, one that has left, the dead letters."""

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from rich.table import Table

from agency_adapter import labels
from agency_adapter.client import segment
from agency_adapter.printing import minute
from deploy.demo import letters
from deploy.demo.stage import Stage, eventually
from deploy.demo.telling import Telling
from gateway.members import Members, write_whole
from schemas.agencies import AGENCIES, connected
from schemas.delivery import TERMINAL_STATES
from schemas.working_time import KUWAIT

ISSUER, ABSENT, LEFT, SENDER = "CSC", "ZH", "KAPF", "MPW"
REGISTERING = ("MOF", ABSENT)
CLERK = "كاتب السجل العام"
OVERDUE_SECONDS = 4
HOSTS = 4
BOARD_COLUMNS = 13


def hosted(codes: list[str]) -> list[tuple[str, ...]]:
    """``codes`` dealt out to :data:`HOSTS` processes; fewer when there are few."""
    return [tuple(codes[at::HOSTS]) for at in range(min(HOSTS, len(codes)))]


class Fleet:
    """What happens between all of them, on ``stage``."""

    def __init__(self, stage: Stage, telling: Telling) -> None:
        self._stage = stage
        self._telling = telling
        self._circular = ""
        self._overdue = ""

    def send_circular(self) -> None:
        """CSC to 51; one of them is away. The authority's readers are killed first: no letter waits for them."""
        stage, telling = self._stage, self._telling
        telling.chapter("تعميم إلى 51 جهة، والسلطة غائبة", "a circular to 51, with the authority away")
        stage.kill("TRSL")
        telling.say(
            f"قُتلت عملية السلطة المركزية بالإشارة SIGKILL، و{AGENCIES[ABSENT].name_ar} لم يبدأ محوّله بعد. "
            "لا كتاب ينتظر السلطة.",
            f"The authority's process was killed with SIGKILL, and {ABSENT}'s adapter has not been started. No letter "
            "waits for the authority.",
        )
        recipients = [agency.code for agency in connected() if agency.code != ISSUER]
        now = datetime.now(KUWAIT)
        request = letters.circular(recipients, now.year, (now + timedelta(days=7)).date().isoformat())
        accepted = stage.client(ISSUER).post("/v1/letters", request, {"Idempotency-Key": "circular-9"})
        self._circular = accepted["id"]
        with telling.live() as show:

            def all_but_one() -> bool:
                letter = self._letter(ISSUER, self._circular)
                show(_board(letter))
                states = Counter(each["state"] for each in letter["transmissions"])
                return states["delivered"] == len(recipients) - 1

            eventually(all_but_one, "circular delivered")
        telling.facts(
            (("التعميم", "circular"), accepted["outgoing_no"]),
            (("موقّع مرة واحدة، إرسالياته", "signed once, transmissions"), str(len(recipients))),
            (("سُلِّم", "delivered"), f"{len(recipients) - 1} / {len(recipients)}"),
            (("لم يُسلَّم بعد", "not yet"), (ABSENT, AGENCIES[ABSENT].name_ar)),
        )

    def send_to_who_is_not_there(self) -> None:
        """An unknown code is refused at once; an agency that has left, by the authority; a deadline passes."""
        stage, telling = self._stage, self._telling
        telling.chapter("من ليس هناك", "who is not there")
        self._outdate_the_senders_directory()
        sender = stage.client(SENDER)
        accepted = sender.post("/v1/letters", letters.farewell(LEFT, AGENCIES[LEFT].name_ar))
        soon = datetime.now(KUWAIT) + timedelta(seconds=OVERDUE_SECONDS)
        deadline = soon.isoformat(timespec="seconds")
        self._overdue = sender.post("/v1/letters", letters.overdue(ABSENT, deadline))["id"]
        telling.say(
            f"أرسلت الأشغال إلى {AGENCIES[LEFT].name_ar}، وقد غادرت الشبكة ولم يصل الأشغالَ الدليلُ الجديد. تعود السلطة:",
            f"{SENDER} wrote to {LEFT}, which has left the backbone; the new directory has not reached {SENDER} yet. "
            "The authority comes back:",
        )
        stage.begin_authority()
        letter = eventually(lambda: self._ended(SENDER, accepted["id"]), "refused by the authority") or {}
        telling.printer.transmissions(letter)

    def catch_up(self) -> None:
        """The absent agency starts, and everything that waited for it arrives."""
        stage, telling = self._stage, self._telling
        telling.chapter("الجهة الغائبة تعود", "the absent agency comes back")
        deadline = datetime.fromisoformat(self._letter(SENDER, self._overdue)["expires_at"])
        eventually(lambda: datetime.now(UTC) > deadline, "deadline")
        stage.start(ABSENT)
        eventually(lambda: self._ended(ISSUER, self._circular), "circular at the absent agency")
        late = eventually(lambda: self._ended(SENDER, self._overdue), "late letter") or {}
        for code in REGISTERING:
            act = {"registered_by": CLERK}
            stage.client(code).post(f"/v1/inbox/{segment(self._circular)}/registration", act)

        def registered() -> dict[str, Any] | None:
            letter = self._letter(ISSUER, self._circular)
            return letter if letter["progress"]["registered"] == len(REGISTERING) else None

        circular = eventually(registered, "circular registered") or {}
        progress = circular["progress"]
        [outcome] = late["transmissions"]
        telling.facts(
            (("التعميم", "circular"), f"{progress['delivered']} / {progress['recipients']}"),
            (("قيدُه مستحق على الجميع قبل", "all owe its registration by"), _due(circular)),
            (
                ("قيّدته", "registered it"),
                f"{progress['registered']} / {progress['recipients']}: {' '.join(REGISTERING)}",
            ),
            (("كتاب فات موعده", "a letter past its deadline"), late["subject"]),
            (
                ("حالته", "state"),
                (*labels.words(labels.TRANSMISSION_STATES, outcome["state"]), *labels.reason_words(outcome["reason"])),
            ),
        )

    def _outdate_the_senders_directory(self) -> None:
        """A directory with one agency more for the sender alone; then the next version without it for the authority."""
        stage = self._stage
        known = AGENCIES[LEFT]
        with Members.held(stage.folder) as members:
            members.add(LEFT, (known.name_ar, known.name_en), known.kind, [])
            older = members.sign_next(datetime.now(UTC)).read_bytes()
            members.records.pop()
            members.sign_next(datetime.now(UTC))
        write_whole(stage.agency(SENDER) / "directory.jws", older)
        client = stage.client(SENDER)

        def taken() -> bool:
            return LEFT in {agency["code"] for agency in client.get("/v1/directory")["agencies"]}

        eventually(taken, "directory")

    def _letter(self, code: str, letter_id: str) -> dict[str, Any]:
        return self._stage.client(code).get(f"/v1/letters/{segment(letter_id)}")

    def _ended(self, code: str, letter_id: str) -> dict[str, Any] | None:
        letter = self._letter(code, letter_id)
        return letter if all(each["state"] in TERMINAL_STATES for each in letter["transmissions"]) else None


def _due(letter: Mapping[str, Any]) -> str:
    """Until when the last of its recipients is to register it."""
    return minute(max(each["acknowledgement_due"] for each in letter["transmissions"]))


def _board(letter: Mapping[str, Any]) -> Table:
    """Every recipient of a letter, with a mark once it has it."""
    board = Table.grid(padding=(0, 1))
    cells = [f"{'✓' if each['state'] == 'delivered' else '·'} {each['recipient']}" for each in letter["transmissions"]]
    for at in range(0, len(cells), BOARD_COLUMNS):
        board.add_row(*cells[at : at + BOARD_COLUMNS])
    return board
