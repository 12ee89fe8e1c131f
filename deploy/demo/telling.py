"""How the demonstration speaks: chapters and sentences, Arabic first, then English."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console, RenderableType
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.rule import Rule

from agency_adapter.printing import ISOLATE, WIDTH_OF_PIPE, Cell, Printer

WIDTH_OF_RULE_IN_PIPE = 100


class Telling:
    """Writes the story to standard output.

    Attributes:
        printer: the command line's own, for its tables.
    """

    def __init__(self) -> None:
        self.printer = Printer()
        terminal = sys.stdout.isatty()
        self._console = Console(
            file=sys.stdout,
            width=None if terminal else WIDTH_OF_PIPE,
            highlight=False,
            emoji=False,
            markup=False,
        )
        self._rule_width = None if terminal else WIDTH_OF_RULE_IN_PIPE

    def chapter(self, ar: str, en: str) -> None:
        title = f"{self._isolated(ar)} · {en}"
        self._console.print()
        self._console.print(Rule(title, align="left", style="dim"), width=self._rule_width)

    def say(self, ar: str, en: str) -> None:
        """One sentence in each language."""
        self.printer.line(ar)
        self.printer.line(en)

    def facts(self, *facts: tuple[tuple[str, str], Cell]) -> None:
        self.printer.facts(facts)

    def table(self, title: tuple[str, str], columns: Sequence[tuple[str, str]], rows: Sequence[Sequence[Cell]]) -> None:
        self.printer.table(title, columns, rows)

    @contextmanager
    def counting(self, ar: str, en: str, total: int) -> Iterator[Callable[[int], None]]:
        """A bar while something is counted up to ``total``; a plain sentence where there is no terminal."""
        if not self._console.is_terminal:
            self.say(ar, en)
            yield lambda _count: None
            return
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=self._console) as progress:
            task = progress.add_task(f"{self._isolated(ar)} · {en}", total=total)
            yield lambda count: progress.update(task, completed=count)

    @contextmanager
    def live(self) -> Iterator[Callable[[RenderableType], None]]:
        """Something that is drawn again and again in one place; where there is no terminal, once as it was last."""
        if not self._console.is_terminal:
            last: list[RenderableType] = []
            yield last.append
            if last:
                self._console.print(last[-1])
            return
        with Live(console=self._console) as live:
            yield live.update

    def _isolated(self, text: str) -> str:
        return f"{ISOLATE}{text}\u2069" if self._console.is_terminal else text
