"""What the command line shows to people: tables and errors, Arabic first, then English.

A terminal lays out each line by itself. So that Arabic in one column does not pull the columns beside it out
of order, every inserted text stands in an isolate (U+2068 … U+2069, Unicode UAX 9), tables have no vertical
rules, and the one column that may wrap is the last. Where a terminal is too narrow for that one, each row becomes a
list of its cells: nothing is left out. A pipe gets the plain text, without isolates and as wide
as it needs. What other agencies wrote may hold anything: what does not print (escape sequences, line ends, bidi
overrides) becomes U+FFFD, so that no letter speaks to the terminal or passes for another line.
"""

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from agency_adapter import labels
from agency_adapter.labels import words
from schemas.errors import Refused

ISOLATE, END = "\u2068", "\u2069"
_HARMLESS = frozenset("\t\u061c\u200c\u200d\u200e\u200f")
"""They do not print either, but running text may hold them: see :mod:`schemas.text`."""

WIDTH_OF_PIPE = 250
LEAST_LAST_COLUMN = 36
GAP = 3
"""Cells between two columns."""


@dataclass(frozen=True, slots=True)
class Lines:
    """A cell of several lines, each in parts; for the last column."""

    lines: tuple[Sequence[str], ...]


Cell = str | Sequence[str] | Lines | None


class Printer:
    """Writes to standard output, or to standard error."""

    def __init__(self, *, errors: bool = False) -> None:
        stream = sys.stderr if errors else sys.stdout
        self._console = Console(
            file=stream,
            width=None if stream.isatty() else WIDTH_OF_PIPE,
            highlight=False,
            emoji=False,
            markup=False,
        )

    def line(self, *parts: str) -> None:
        self._console.print(self._joined(parts), soft_wrap=True)

    def table(self, title: tuple[str, str], columns: Sequence[tuple[str, str]], rows: Iterable[Sequence[Cell]]) -> None:
        """A table; ``columns`` are Arabic and English heads. The last column may wrap."""
        heads = [self._joined(head) for head in columns]
        cells = [[self._cell(cell) for cell in row] for row in rows]
        if not cells:
            self.line(*title, "·", "لا شيء", "nothing")
        elif self._fits(heads, cells):
            table = Table(title=self._joined(title), title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
            for number, head in enumerate(heads, 1):
                table.add_column(head, no_wrap=number < len(heads), overflow="fold")
            for row in cells:
                table.add_row(*row)
            self._console.print(table)
        else:
            self.line(*title)
            for row in cells:
                self.line("")
                for head, cell in zip(heads, row, strict=True):
                    if cell:
                        self._console.print(Text.assemble(head, ":  ", cell), soft_wrap=True)

    def _fits(self, heads: Sequence[Text], cells: Sequence[Sequence[Text]]) -> bool:
        """Whether the columns that do not wrap leave the last one room for a letter's id, or for all it has."""
        *fixed, last = (_width(column) for column in zip(heads, *cells, strict=True))
        return sum(fixed) + GAP * len(heads) + min(last, LEAST_LAST_COLUMN) <= self._console.width

    def facts(self, facts: Iterable[tuple[tuple[str, str], Cell]]) -> None:
        """Pairs of name and value, one a line; what is None is left out."""
        for name, value in facts:
            if value is not None:
                self._console.print(Text.assemble(self._joined(name), ":  ", self._cell(value)), soft_wrap=True)

    def refusal(self, refusal: Refused) -> None:
        """What is wrong and what to do, in both languages, with code and place."""
        for line in (*refusal.lines("ar"), *refusal.lines("en")):
            self.line(line)
        for name, value in refusal.again.items():
            self.line(f"--{name.replace('_', '-')} {value}")

    def outbox(self, items: Iterable[Mapping[str, Any]]) -> None:
        self.table(
            ("الصادر", "outbox"),
            (
                ("رقم الصادر", "no."),
                ("قُبل في", "accepted"),
                ("الجهة", "to"),
                ("الحالة", "state"),
                ("الموضوع والمعرّف", "subject, id"),
            ),
            (
                (
                    item["outgoing_no"] if first else "",
                    minute(item["accepted_at"]) if first else "",
                    each["recipient"],
                    words(labels.TRANSMISSION_STATES, each["state"]),
                    Lines((*(((item["subject"],), (item["id"],)) if first else ()), *_hindrance(each))),
                )
                for item in items
                for first, each in _numbered(item["transmissions"])
            ),
        )

    def inbox(self, items: Iterable[Mapping[str, Any]]) -> None:
        self.table(
            ("الوارد", "inbox"),
            (
                ("رقم صادرها", "their no."),
                ("وصل في", "arrived"),
                ("الحالة", "state"),
                ("رقم الوارد", "our no."),
                ("الموضوع والمعرّف", "subject, id"),
            ),
            (
                (
                    item["outgoing_no"],
                    minute(item["received_at"]),
                    words(labels.INBOX_STATES, item["state"]),
                    item["incoming_no"],
                    Lines(((item["subject"],), (item["sender"], item["id"]))),
                )
                for item in items
            ),
        )

    def letter(self, item: Mapping[str, Any]) -> None:
        outgoing = item["direction"] == "outgoing"
        content = item["letter"].get("content") or {}
        self.facts(
            (
                (("الاتجاه", "direction"), ("صادر", "outgoing") if outgoing else ("وارد", "incoming")),
                (("المعرّف", "id"), item["id"]),
                (("من", "from"), item["letter"]["sender"]["agency"]),
                (("رقم الصادر", "outgoing no."), item["outgoing_no"]),
                (("التاريخ", "issued"), (item["letter"].get("hijri_date") or "", minute(item["issued_at"]))),
                (("النوع", "type"), item["type"]),
                (("الأهمية", "urgency"), words(labels.URGENCIES, item["urgency"])),
                (("الحالة", "state"), None if outgoing else words(labels.INBOX_STATES, item["state"])),
                (("رقم الوارد", "incoming no."), item.get("incoming_no")),
                (("القيد مستحق قبل", "registration owed by"), _owed(item)),
                (("سبب الإعادة", "returned"), _reason(item.get("return_reason"))),
                (("لم يُفهم", "not understood"), ", ".join(item["not_understood"]) or None),
                (("الموضوع", "subject"), item["subject"]),
            )
        )
        if outgoing:
            self.progress(item["progress"])
            self.transmissions(item)
        self.line("")
        for paragraph in str(content.get("body", "")).splitlines():
            self.line(paragraph)

    def progress(self, progress: Mapping[str, Any]) -> None:
        """How far a letter to several has come."""
        of = progress["recipients"]
        owed = progress["overdue"] is not None
        self.facts(
            (
                (("سُلِّم", "delivered"), f"{progress['delivered']} / {of}" if of > 1 else None),
                (("قُيِّد", "registered"), f"{progress['registered']} / {of}" if of > 1 or owed else None),
                (("أُعيد", "returned"), f"{progress['returned']} / {of}" if of > 1 and progress["returned"] else None),
                (("قيد متأخر", "registrations overdue"), str(progress["overdue"]) if owed else None),
            )
        )

    def transmissions(self, item: Mapping[str, Any]) -> None:
        self.table(
            ("الإرساليات", "transmissions"),
            (
                ("الجهة", "to"),
                ("الصفة", "role"),
                ("الحالة", "state"),
                ("في", "at"),
                ("رقم الوارد لديها", "their no."),
                ("السبب", "reason"),
            ),
            (
                (
                    each["recipient"],
                    words(labels.ROLES, each["role"]),
                    words(labels.TRANSMISSION_STATES, each["state"]),
                    minute(each["ended_at"] or each["sent_at"]),
                    each["registered_no"],
                    Lines((_reason(each["reason"]) or (), *_hindrance(each), *_sent_back(each))),
                )
                for each in item["transmissions"]
            ),
        )

    def timeline(self, entries: Iterable[Mapping[str, Any]]) -> None:
        self.table(
            ("مسار الكتاب", "timeline"),
            (
                ("الوقت", "time"),
                ("الخطوة", "step"),
                ("قالتها", "by"),
                ("نسخة", "copy of"),
                ("التفصيل", "detail"),
            ),
            (
                (
                    second(entry["at"]),
                    words(labels.STEPS, entry["event"]),
                    entry["party"],
                    entry["recipient"],
                    Lines((_step_facts(entry), *(((entry["note"],),) if entry["note"] else ()))),
                )
                for entry in entries
            ),
        )

    def quarantine(self, items: Iterable[Mapping[str, Any]]) -> None:
        self.table(
            ("الحجر", "quarantine"),
            (
                ("وصل في", "arrived"),
                ("نشرتها", "published by"),
                ("باسم", "claims"),
                ("نسخ", "copies"),
                ("المرحلة", "stage"),
                ("السبب", "reason"),
            ),
            (
                (
                    second(item["received_at"]),
                    item["publisher"],
                    item["claimed_sender"],
                    str(item["copies"]),
                    item["stage"],
                    _reason(item["reason"]),
                )
                for item in items
            ),
        )

    def incidents(self, items: Iterable[Mapping[str, Any]]) -> None:
        self.table(
            ("إشعارات الحوادث", "incidents of our own account"),
            (
                ("رُصدت في", "seen"),
                ("المفتاح", "routing key"),
                ("نسخ", "copies"),
                ("السبب", "reason"),
            ),
            (
                (second(item["seen_at"]), item["routing_key"], str(item["copies"]), _reason(item["reason"]))
                for item in items
            ),
        )

    def directory(self, listing: Mapping[str, Any]) -> None:
        self.table(
            (f"الدليل {listing['version']}", f"directory, valid until {minute(listing['valid_until'])}"),
            (("الرمز", "code"), ("الحالة", "status"), ("يقبل", "accepts"), ("الجهة", "agency")),
            (
                (
                    entry["code"],
                    words(labels.AGENCY_STATUSES, entry["status"]),
                    ", ".join(entry["accepted_types"]) or ("الكل", "all"),
                    (entry["name_ar"], entry["name_en"]),
                )
                for entry in listing["agencies"]
            ),
        )

    def gaps(self, listing: Mapping[str, Any]) -> None:
        self.table(
            (f"أرقام بلا كتاب، {listing['year']}", f"numbers without a letter, {listing['direction']}"),
            (("من", "from"), ("إلى", "to"), ("العدد", "count")),
            ((gap["first"], gap["last"], str(gap["count"])) for gap in listing["gaps"]),
        )

    def readiness(self, answer: Mapping[str, Any]) -> None:
        self.table(
            ("حالة المحوّل", "adapter"),
            (("يلزم", "needs"), ("جاهز", "ready"), ("التفصيل", "detail")),
            (
                (
                    words(labels.DEPENDENCIES, check["name"]),
                    ("نعم", "yes") if check["ok"] else ("لا", "no"),
                    Lines(
                        tuple(
                            (line,)
                            for part in (check["text_ar"], check["text"], check["detail"])
                            for line in (part or "").split("\n")
                            if line
                        )
                    ),
                )
                for check in answer["checks"]
            ),
        )

    def _cell(self, cell: Cell) -> Text:
        if cell is None:
            return Text("")
        if isinstance(cell, Lines):
            return Text("\n").join(self._joined(line) for line in cell.lines if line)
        return self._joined((cell,) if isinstance(cell, str) else cell)

    def _joined(self, parts: Sequence[str]) -> Text:
        """``parts`` side by side; plain text, never markup."""
        return Text(" ".join(self._isolated(part) for part in parts if part))

    def _isolated(self, part: str) -> str:
        shown = _printable(part)
        return shown if shown.isascii() or not self._console.is_terminal else f"{ISOLATE}{shown}{END}"


def _width(column: Iterable[Text]) -> int:
    return max(cell_len(line) for text in column for line in text.plain.split("\n"))


def _printable(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() or char in _HARMLESS else "\ufffd" for char in text)


def minute(moment: str | None) -> str:
    """An API time as people write it: ``2026-11-24 05:28`` (Kuwait)."""
    return (moment or "")[:16].replace("T", " ")


def second(moment: str | None) -> str:
    return (moment or "")[:19].replace("T", " ")


def _owed(item: Mapping[str, Any]) -> str | None:
    """Until when this agency is to register a letter that arrived."""
    due = item.get("acknowledgement_due")
    return minute(due) if due and item["state"] == "received" else None


def _hindrance(transmission: Mapping[str, Any]) -> tuple[Sequence[str], ...]:
    """What holds a transmission up, if something does."""
    if transmission["waiting_since"] is None:
        return ()
    since = minute(transmission["waiting_since"])
    return (("صندوق الجهة ممتلئ منذ", since, "the mailbox is full since then"),)


def _sent_back(transmission: Mapping[str, Any]) -> tuple[Sequence[str], ...]:
    """When and why the recipient returned the letter, if it did."""
    if transmission["returned_at"] is None:
        return ()
    when = minute(transmission["returned_at"])
    return (("أُعيد", "returned", when, *(_reason(transmission["return_reason"]) or ())),)


def _step_facts(entry: Mapping[str, Any]) -> Sequence[str]:
    """What a step of a timeline says beside its name: number, clerk, reason."""
    facts = [entry["number"] or "", entry["by"] or "", *(_reason(entry["reason"]) or ())]
    if entry["conflict"]:
        facts += ["يخالف النتيجة القائمة", "in conflict with the outcome"]
    return facts


def _reason(code: str | None) -> tuple[str, str] | None:
    return None if code is None else labels.reason_words(code)


def _numbered(items: Sequence[Mapping[str, Any]]) -> Iterable[tuple[bool, Mapping[str, Any]]]:
    return ((index == 0, item) for index, item in enumerate(items))
