"""Opening a store: create it, bring it up to date, and recognise one that was restored from an old copy."""

import secrets
from dataclasses import asdict, dataclass
from pathlib import Path

import structlog
from sqlalchemy import Connection, Engine, func, inspect, select, update
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.exc import DatabaseError

from agency_adapter.mark import Mark, Progress
from agency_adapter.numbers import Direction, next_number
from agency_adapter.store.tables import inbox, letters, meta, number_series, receipts_issued, transmissions
from broker.outbox import CONFIRMED, PENDING
from broker.sqlite import StoreLock, open_for_reading, open_store
from schemas.errors import ErrorCode, Refused

HEAD = "0003"
"""The newest schema revision; the migrations' own test compares it with theirs."""

_log = structlog.get_logger("store")


@dataclass(frozen=True, slots=True)
class Store:
    """An open store that this process owns.

    Attributes:
        engine: for the writer, and for nobody else.
        readings: for everything that only looks.
        mark: see :mod:`agency_adapter.mark`.
        restored: True if this start found the store older than its mark.
    """

    engine: Engine
    readings: Engine
    mark: Mark
    lock: StoreLock
    restored: bool

    def close(self) -> None:
        """Let go of the store, whether or not its mark can be written now.

        A mark that lags behind its store harms nobody: it shows a restored copy a little less surely.
        """
        try:
            self.mark.save(flush=True)
        except Refused as refusal:
            _log.warning("mark_lags", code=refusal.code)
        # The last to leave folds the write-ahead log into the store, which only the writing engine can do. A log
        # left behind would be replayed over an old copy that is put in the store's place.
        self.readings.dispose()
        self.engine.dispose()
        self.lock.release()


def open_agency_store(path: Path, agency: str) -> Store:
    """Open the store at ``path`` for ``agency``, creating or migrating it as needed.

    Raises:
        Refused: ``store_locked`` (another process has it), ``store_newer`` (made by a later release),
            ``store_foreign`` (another agency's), ``store_unavailable`` (cannot be opened), ``storage_full``,
            ``mark_invalid``.
    """
    # A link leads to the one store: its lock and its mark stand beside the file, as SQLite's own files do.
    path = path.resolve()
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = StoreLock(path)
    except OSError as error:
        raise Refused(ErrorCode.STORE_UNAVAILABLE) from error
    engine: Engine | None = None
    try:
        try:
            engine = open_store(path)
            with engine.connect() as connection:
                revision = _revision(connection)
            if revision != HEAD:
                from agency_adapter.store.migrating import migrate  # noqa: PLC0415 - heavy, rarely needed

                migrate(engine, revision)
            with engine.begin() as connection:
                store_id = _identify(connection, agency)
                mark, restored = _compare(connection, path.with_suffix(".mark"), store_id)
        except (DatabaseError, OSError) as error:
            raise Refused(ErrorCode.STORE_UNAVAILABLE) from error
        mark.save(flush=True)
        return Store(engine, open_for_reading(path), mark, lock, restored)
    except BaseException:
        if engine is not None:
            engine.dispose()
        lock.release()
        raise


def progress(connection: Connection) -> Progress:
    """How far the store has come, for the mark."""
    return Progress(*(seq or 0 for seq in connection.execute(_LAST).one()))


_LAST = select(*(select(func.max(table.c.seq)).scalar_subquery() for table in (letters, inbox, receipts_issued)))


def value(connection: Connection, name: str) -> str | None:
    """A value of the ``meta`` table."""
    found: str | None = connection.execute(select(meta.c.value).where(meta.c.name == name)).scalar()
    return found


def set_value(connection: Connection, name: str, text: str) -> None:
    connection.execute(
        insert(meta).values(name=name, value=text).on_conflict_do_update(index_elements=["name"], set_={"value": text})
    )


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    revision: str | None = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
    return revision


def _identify(connection: Connection, agency: str) -> str:
    owner = value(connection, "agency")
    if owner is None:
        set_value(connection, "agency", agency)
        set_value(connection, "epoch", "1")
        store_id = secrets.token_hex(8)
        set_value(connection, "store_id", store_id)
        return store_id
    if owner != agency:
        raise Refused(ErrorCode.STORE_FOREIGN, agency=agency, owner=owner)
    return value(connection, "store_id") or ""


def _compare(connection: Connection, path: Path, store_id: str) -> tuple[Mark, bool]:
    epoch = int(value(connection, "epoch") or "1")
    now = progress(connection)
    mark = Mark.read(path, store_id)
    if mark is None:
        return Mark(path, store_id, epoch, now), False
    restored = now.behind(mark.progress) or epoch < mark.epoch
    if restored:
        mark.epoch = max(epoch, mark.epoch) + 1
        set_value(connection, "epoch", str(mark.epoch))
        for key, reserved in mark.reserved.items():
            direction, _, year = key.partition(":")
            if next_number(connection, Direction(direction), int(year)) <= reserved:
                connection.execute(
                    insert(number_series)
                    .values(direction=direction, year=int(year), next=reserved + 1)
                    .on_conflict_do_update(index_elements=["direction", "year"], set_={"next": reserved + 1})
                )
        _log.error("store_restored", epoch=mark.epoch, has=asdict(now), had=asdict(mark.progress))
        # What the copy calls open is published again, now: the recipients answer with what they know.
        confirmed_at = transmissions.c.confirmed_at
        connection.execute(
            update(transmissions)
            .where(transmissions.c.relay_state == CONFIRMED)
            .values(relay_state=PENDING, due_at=confirmed_at)
        )
    mark.progress = now
    return mark, restored
