"""What the authority's tests add to a :class:`tests.support.adapters.Bed`: agencies' accounts, tokens, and looks."""

import asyncio
import contextlib
import re
import secrets
import shutil
import sqlite3
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from broker.management import path
from broker.names import JOURNAL, VHOST
from broker.topology import TRIAL_SIZES, build_topology
from schemas.identifiers import uuid7
from tests.support.adapters import AdapterProcess, Bed, eventually, store_rows
from tests.support.raw_client import RawClient
from trust import ijson
from trust.keys import FileKey
from trust.token import Signer, TokenType

CODES = ("MPW", "MOF", "SAB")
NARROW = "narrow"
AUDIT_QUEUES = ("dead-letter", "dead-letter.expired", *(f"dead-letter.{code}" for code in CODES))


@dataclass
class AuthorityBed(Bed):
    """See the module's docstring."""

    def restore(self) -> None:
        """Undo whatever a test did to the broker, the adapters and the authority."""
        for running in (*self.adapters.values(), *self.authorities.values()):
            running.kill()
        self.authorities.clear()
        with self.management() as management:
            management.delete(path("policies", VHOST, NARROW))
            management.delete(path("queues", VHOST, JOURNAL))
        self.apply_topology()
        self.reset()
        for file in (*self.home.glob("*.db*"), *self.home.glob("*.log")):
            file.unlink()
        shutil.rmtree(self.home / "apart", ignore_errors=True)

    @property
    def home(self) -> Path:
        return self.folder / "authority"

    # What an agency can say

    @contextlib.contextmanager
    def account(self, code: str) -> Iterator[RawClient]:
        """A raw connection with the account of ``code``."""
        keys = self.agency(code) / "keys"

        def enter() -> RawClient | None:
            with contextlib.suppress(ConnectionError):
                return RawClient(
                    self.node.amqps_port,
                    certificate=keys / "transport.pem",
                    key=keys / "transport.key",
                    authority=self.agency(code) / "root.pem",
                )
            return None

        client = eventually(enter, f"a connection for {code}")
        assert client is not None
        with client:
            yield client

    def sign(self, code: str, claims: dict[str, Any], typ: TokenType = TokenType.LETTER) -> bytes:
        """A token with the real seal key of ``code``."""
        keys = self.agency(code) / "keys"
        signer = Signer(FileKey(keys / "seal.key", keys / "seal.pem"))
        [token] = asyncio.run(signer.sign(typ, [ijson.dump(claims)], int(time.time())))
        return token.text

    def letter(self, sender: str, *recipients: str, **members: Any) -> bytes:
        """A letter in order, of no adapter's."""
        now = datetime.now(UTC)
        claims = {
            "id": uuid7(int(time.time() * 1000), secrets.token_bytes(10)),
            "type": "letter.general/1",
            "sender": {"agency": sender},
            "recipients": [{"agency": code, "role": "to"} for code in recipients],
            "outgoing_no": f"{sender}/2026/1",
            "thread_id": uuid7(int(time.time() * 1000), secrets.token_bytes(10)),
            "references": [],
            "issued_at": now.isoformat(timespec="seconds"),
            "expires_at": (now + timedelta(days=30)).isoformat(timespec="seconds"),
            "secrecy": "NORMAL",
            "data_class": "PUBLIC",
            "urgency": "ROUTINE",
            "action": "FOR_INFO",
            "paper_original": False,
            "retention_class": "R-GEN",
            "reply": {"required": False},
            "content": {"subject": "صيانة الطرق", "body": "نفيدكم علماً."},
        }
        return self.sign(sender, claims | members)

    # What a test does to a queue

    def narrow(self, queue: str, limit: int) -> None:
        """Let ``queue`` refuse what would fill it past ``limit`` bytes."""
        self._policy(queue, {"max-length-bytes": limit})

    def limit_deliveries(self, queue: str) -> None:
        """Let ``queue`` give up on what has been delivered three times."""
        self._policy(queue, {"delivery-limit": 2})

    def widen(self) -> None:
        """End :meth:`narrow`, or :meth:`limit_deliveries`."""
        with self.management() as management:
            management.delete(path("policies", VHOST, NARROW))

    def _policy(self, queue: str, changed: dict[str, int]) -> None:
        policies = build_topology(self.codes, TRIAL_SIZES).policies.values()
        [policy] = [each for each in policies if re.match(each.pattern, queue)]
        content = {
            "pattern": f"^{queue.replace('.', '[.]')}$",
            "apply-to": "queues",
            "priority": 10,
            "definition": {**policy.definition, **changed},
        }
        with self.management() as management:
            management.put(path("policies", VHOST, NARROW), content)

    def remake_journal(self, changed: dict[str, int]) -> None:
        """Delete the stream and make it again, with a policy ``changed`` from the plan's.

        The size of its segments is that of the policy under which it is made; how much is kept may change later. The
        plan's own application takes a policy away that it does not know.
        """
        with self.management() as management:
            management.delete(path("queues", VHOST, JOURNAL))
            if changed:
                self._policy(JOURNAL, changed)
                arguments = {"x-queue-type": "stream", "x-initial-cluster-size": 1}
                management.put(path("queues", VHOST, JOURNAL), {"durable": True, "arguments": arguments})
        self.apply_topology()
        if changed:
            self._policy(JOURNAL, changed)

    def die_of_delivery_limit(self, code: str, queue: str) -> None:
        """A consumer of ``code`` dies over each message of ``queue``, as often as it takes."""

        def died() -> bool:
            with self.account(code) as client:
                return client.get(queue) != "GetOk"

        eventually(died, f"{queue} empty")

    # What became of it

    def store(self, statement: str, *arguments: object) -> list[tuple[Any, ...]]:
        """Rows of the authority's store; none while there is no store."""
        file = self.home / "authority.db"
        return store_rows(file, statement, *arguments) if file.exists() else []

    def change_store(self, statement: str) -> None:
        """Change the store by hand, beside the authority or without it."""
        with contextlib.closing(sqlite3.connect(self.home / "authority.db", timeout=20)) as connection, connection:
            connection.execute(statement)

    def count(self, rows: str) -> int:
        found = self.store(f"SELECT count(*) FROM {rows}")  # noqa: S608 - from the tests
        return int(found[0][0]) if found else 0

    def verdicts(self) -> list[tuple[str, str]]:
        """Verdict and reason of each dead letter, oldest first."""
        return [(str(v), str(r)) for v, r in self.store("SELECT verdict, reason FROM dead_letters ORDER BY seq")]

    def until(self, condition: Any, what: str) -> Any:
        """Until ``condition`` is true; the failure shows the logs."""
        return eventually(condition, lambda: f"{what}\n{self.tails()}")

    def tails(self) -> str:
        return super().tails() + "".join(f"\n--- authority\n{each.tail(15)}" for each in self.authorities.values())

    def wait_audited(self, count: int, queues: Sequence[str] = AUDIT_QUEUES) -> None:
        """Until the store has ``count`` dead letters, all judged, all answers are published, and the queues empty."""
        self.until(
            lambda: (
                self.count("dead_letters") >= count
                and not self.count("dead_letters WHERE verdict IN ('new', 'waiting')")
                and not self.count("answers WHERE relay_state < 2")
                and not any(self.ready_messages(queue) for queue in queues)
            ),
            f"{count} dead letters, judged and answered",
        )
        assert self.count("dead_letters") == count, self.verdicts()

    def authority(self, name: str = "one") -> AdapterProcess:
        return self.authorities[name]
