"""Orders from the authority.

Understood is the *incident notice*: something came through this agency's own account that is not authentic. Either the
account is in other hands, or a program of the agency does what it should not. It is verified, kept, counted, logged and
listed; it causes neither a receipt nor a dead letter.

All else (directory announcements, acceptance proofs) is of a later release: kept in the quarantine with its bytes and
reported to the authority, never dropped, so that an authority that is ahead of its adapters sees who is behind.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import structlog
from sqlalchemy import Connection
from sqlalchemy.dialects.sqlite import insert

from agency_adapter.directory_cache import DirectoryCache
from agency_adapter.judgement import incident_reason, transport_incident
from agency_adapter.quarantine import Quarantine, Rejected, unauthentic
from agency_adapter.store.tables import incidents
from broker.clock import Clock
from broker.names import order_routing_key
from broker.session import Delivery
from broker.writer import Writer
from schemas.directory import KeyPurpose
from schemas.errors import Refused
from schemas.identifiers import AUTHORITY
from schemas.incidents import IncidentNotice, parse_incident
from schemas.reasons import IncidentReason
from schemas.validation import schema_invalid
from trust.errors import VerificationError
from trust.token import OpenedToken, TokenType, open_token
from trust.verification import verify

STAGE = "orders"

_log = structlog.get_logger(STAGE)


@dataclass(frozen=True, slots=True)
class _Noticed:
    """A genuine notice to this agency, with its bytes."""

    notice: IncidentNotice
    token: bytes


class Orders:
    """Handler for this agency's ``orders`` queue.

    Args:
        agency: code of this agency.
        writer: of the store.
        directory: as the adapter knows it now.
        quarantine: keeps what is no order that this release understands.
        clock: for times of arrival.
    """

    def __init__(
        self,
        agency: str,
        writer: Writer,
        directory: DirectoryCache,
        quarantine: Quarantine,
        clock: Clock,
    ) -> None:
        self._agency = agency
        self._writer = writer
        self._directory = directory
        self._quarantine = quarantine
        self._clock = clock

    async def receive(self, batch: Sequence[Delivery]) -> None:
        """Take one batch from the orders queue; returns after the commit."""
        self._directory.require_valid()
        judged = [self._judge(delivery) for delivery in batch]
        await self._writer.submit(self._commit, judged)
        for item in judged:
            if isinstance(item, _Noticed):
                _log.warning("incident_noticed", digest=item.notice.digest, reason=item.notice.reason)

    def _judge(self, delivery: Delivery) -> _Noticed | Rejected:
        try:
            return self._judge_order(delivery)
        except VerificationError as error:
            return unauthentic(delivery, STAGE, incident_reason(error), str(error))
        except Refused as refusal:
            return unauthentic(delivery, STAGE, IncidentReason.TOKEN_MALFORMED, str(refusal))
        except Exception as error:  # noqa: BLE001 - see below
            # Content must never stop the mail; it is kept with all its bytes.
            _log.exception("judging_failed", queue=delivery.queue, size=len(delivery.body))
            explanation = f"judging failed: {type(error).__name__}"
            return unauthentic(delivery, STAGE, IncidentReason.TOKEN_MALFORMED, explanation)

    def _judge_order(self, delivery: Delivery) -> _Noticed | Rejected:
        try:
            token = open_token(delivery.body, TokenType.INCIDENT)
        except VerificationError:
            return unauthentic(
                delivery, STAGE, IncidentReason.ORDER_NOT_SUPPORTED, "this release understands incident notices"
            )
        trick = transport_incident(delivery, order_routing_key(self._agency))
        if trick is not None:
            return unauthentic(delivery, STAGE, *trick)
        return _Noticed(self._verified(token), delivery.body)

    def _verified(self, token: OpenedToken) -> IncidentNotice:
        key = verify(token, self._directory.current, purpose=KeyPurpose.RECEIPTS, now=self._clock.now())
        notice = parse_incident(token.claims())
        if (key.agency, notice.iss, notice.aud) != (AUTHORITY, AUTHORITY, self._agency):
            raise schema_invalid(
                "/aud",
                f"وقّعت الجهة {key.agency} ما تقوله الجهة {notice.iss} للجهة {notice.aud}",
                f"{key.agency} signed what {notice.iss} says to {notice.aud}",
            )
        return notice

    async def _commit(self, connection: Connection, groups: Sequence[Sequence[_Noticed | Rejected]]) -> list[None]:
        items = [item for group in groups for item in group]
        now = self._clock.unix_ms()
        for item in items:
            if isinstance(item, _Noticed):
                _keep(connection, item, now)
        await self._quarantine.keep(connection, [item for item in items if isinstance(item, Rejected)])
        return [None] * len(groups)


def _keep(connection: Connection, item: _Noticed, now: int) -> None:
    notice = item.notice
    connection.execute(
        insert(incidents)
        .values(
            digest=notice.digest,
            reason=notice.reason,
            routing_key=notice.routing_key,
            seen_at=notice.received_at * 1000,
            noticed_at=now,
            last_at=now,
            notice_jws=item.token,
        )
        .on_conflict_do_update(
            index_elements=["digest", "reason"], set_={"copies": incidents.c.copies + 1, "last_at": now}
        )
    )
