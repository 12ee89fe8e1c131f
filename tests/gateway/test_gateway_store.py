"""The authority's store on SQLite and on PostgreSQL: its schema, its leases, and what happens when it goes away."""

import asyncio
import subprocess
import sys
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, func, insert, select, update

import gateway.lease
from broker.migrating import scripts
from broker.writer import Writer
from gateway.duty import Duty, DutyState, Working
from gateway.lease import Lease, LeaseLost
from gateway.store import migrating
from gateway.store.opening import HEAD, GatewayStore, open_gateway_store, reading
from gateway.store.tables import leases, meta, metadata
from gateway.watching import duty_check
from schemas.errors import ErrorCode, Refused
from tests.gateway.databases import place, postgres, store
from tests.support.postgres import Postgres

__all__ = ["place", "postgres", "store"]
TREE = Path(__file__).parents[2]
# Stops between the look at the store, which is empty, and making its tables.
OPEN_WHEN_TOLD = """
import sys
from pathlib import Path
from gateway.store import migrating, opening
migrate = migrating.migrate
def told(engine, revision):
    print("found empty" if revision is None else "found made", flush=True)
    sys.stdin.readline()
    migrate(engine, revision)
migrating.migrate = told
opening.open_gateway_store(sys.argv[1], Path()).close()
print("opened", flush=True)
"""
FOLDER = Path(migrating.__file__).parent / "migrations"


def the_scripts() -> ScriptDirectory:
    return scripts(FOLDER)


# The schema


def test_the_newest_migration_is_the_one_that_the_product_asks_for() -> None:
    assert the_scripts().get_current_head() == HEAD


def test_the_migrations_make_the_tables_that_the_product_uses(store: GatewayStore) -> None:
    with store.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []


def test_a_store_is_opened_again_as_it_was_left(place: str) -> None:
    first = open_gateway_store(place, Path())
    with first.engine.begin() as connection:
        connection.execute(insert(meta).values(name="a", value="b"))
    first.close()
    second = open_gateway_store(place, Path())
    with second.readings.connect() as connection:
        assert connection.execute(select(meta.c.value)).scalar() == "b"
    second.close()


def test_two_processes_may_find_an_empty_store_at_once(place: str) -> None:
    command = [sys.executable, "-c", OPEN_WHEN_TOLD, place]
    both = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=TREE) for _ in range(2)
    ]
    for process in both:
        assert process.stdout is not None
        assert process.stdout.readline() == "found empty\n"
    for process in both:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    ended = [process.communicate()[0] for process in both]
    assert ended == ["opened\n", "opened\n"]
    assert [process.returncode for process in both] == [0, 0]


def test_a_store_of_a_later_release_is_refused(place: str) -> None:
    first = open_gateway_store(place, Path())
    with first.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    first.close()
    with pytest.raises(Refused) as refused:
        open_gateway_store(place, Path())
    assert refused.value.code is ErrorCode.STORE_NEWER


@pytest.mark.parametrize("nowhere", ["missing/authority.db", "postgresql://nobody@/nothing?host=/nowhere"])
def test_a_store_that_is_nowhere_is_unavailable(nowhere: str, tmp_path: Path) -> None:
    with pytest.raises(Refused) as refused:
        open_gateway_store(nowhere, tmp_path)
    assert refused.value.code is ErrorCode.STORE_UNAVAILABLE


def test_what_reads_cannot_change_a_file(tmp_path: Path) -> None:
    opened = open_gateway_store("authority.db", tmp_path)
    with opened.readings.connect() as connection, pytest.raises(Exception, match="readonly"):
        connection.execute(insert(meta).values(name="a", value="b"))
    opened.close()


def test_who_looks_from_outside_can_change_neither_database(place: str) -> None:
    open_gateway_store(place, Path()).close()
    with reading(place, Path()) as connection:
        assert connection.execute(select(func.count()).select_from(meta)).scalar() == 0
    with pytest.raises(Refused) as refused, reading(place, Path()) as connection:
        connection.execute(insert(meta).values(name="a", value="b"))
    assert refused.value.code is ErrorCode.STORE_UNAVAILABLE
    assert "read" in str(refused.value.__cause__), "because it may only read"


@pytest.mark.parametrize("nowhere", ["missing/authority.db", "postgresql://nobody@/nothing?host=/nowhere"])
def test_who_looks_into_nothing_makes_nothing(nowhere: str, tmp_path: Path) -> None:
    with pytest.raises(Refused) as refused, reading(nowhere, tmp_path):
        pass
    assert refused.value.code in {ErrorCode.STORE_MISSING, ErrorCode.STORE_UNAVAILABLE}
    assert list(tmp_path.iterdir()) == []


# Leases


@pytest.fixture
def short_leases(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leases that are over as soon as they are given."""
    monkeypatch.setattr(gateway.lease, "LASTING_MS", -1)


def test_one_process_has_a_lease_until_it_gives_it_up(store: GatewayStore) -> None:
    one, other = Lease("journal"), Lease("journal")
    with store.engine.begin() as connection:
        assert one.take(connection)
        assert one.take(connection)
        assert not other.take(connection)
        assert not other.renew(connection)
        assert Lease("audit").take(connection), "another work's lease is another lease"
        asyncio.run(one.release(connection, [None]))
        assert not one.renew(connection)
        assert other.take(connection)
        assert not one.take(connection)
        with pytest.raises(LeaseLost):
            one.require(connection)
        other.require(connection)


@pytest.mark.usefixtures("short_leases")
def test_a_lease_that_ran_out_is_the_next_ones(store: GatewayStore) -> None:
    one, other = Lease("journal"), Lease("journal")
    with store.engine.begin() as connection:
        assert one.take(connection)
        assert one.renew(connection), "while nobody else has taken it, it is still ours"
        one.require(connection)
        assert other.take(connection)
        assert not one.renew(connection)
        with pytest.raises(LeaseLost):
            one.require(connection)


def test_a_lease_from_before_the_clock_was_set_back_is_over(store: GatewayStore) -> None:
    """Its holder died; until the clock is there again nobody would do the work, and each would seem to stand by."""
    with store.engine.begin() as connection:
        assert Lease("journal").take(connection)
        connection.execute(update(leases).values(until=leases.c.until + 3_600_000))
        assert Lease("journal").take(connection)


async def test_a_duty_that_cannot_write_down_its_lease_is_red(store: GatewayStore) -> None:
    """The store can be read all the same."""
    writer = Writer(store.engine)
    writer.start()
    duty = Duty(Lease("journal"), writer, no_work)
    assert await duty._asked(duty.lease.take_all, unknown=False)
    with store.engine.connect() as other:
        other.execute(update(leases).values(until=leases.c.until))
        assert await duty._asked(duty.lease.renew_all, unknown=True), "nobody else has taken it"
        check = duty_check(duty)
        assert (check["ok"], check["detail"]) == (False, "starting: store_unavailable")
        other.rollback()
    assert await duty._asked(duty.lease.renew_all, unknown=True)
    assert duty_check(duty) == {"name": "journal", "ok": False, "detail": "starting"}, "it has not stood by yet"
    duty.state = DutyState.STANDBY
    assert duty_check(duty) == {"name": "journal", "ok": True, "detail": "standby"}
    await writer.close()


def no_work() -> AbstractAsyncContextManager[Working]:
    raise AssertionError("the duty was never started")


def test_giving_up_anothers_lease_changes_nothing(store: GatewayStore) -> None:
    one, other = Lease("journal"), Lease("journal")
    with store.engine.begin() as connection:
        assert one.take(connection)
        asyncio.run(other.release(connection, [None]))
        assert one.renew(connection)


async def note(connection: Connection, items: Sequence[tuple[Lease, str]]) -> list[None]:
    for lease, name in items:
        lease.require(connection)
        connection.execute(insert(meta).values(name=name, value=""))
    return [None] * len(items)


@pytest.mark.usefixtures("short_leases")
async def test_a_holder_that_was_asleep_writes_nothing_more(store: GatewayStore) -> None:
    """A takes the lease and sleeps; B takes over and works; A's next transaction is refused as a whole."""
    writer = Writer(store.engine)
    writer.start()
    a, b = Lease("journal"), Lease("journal")
    assert await writer.submit(a.take_all, None)
    await writer.submit(note, (a, "by a"))
    assert await writer.submit(b.take_all, None)
    await writer.submit(note, (b, "by b"))
    with pytest.raises(LeaseLost):
        await writer.submit(note, (a, "by a, too late"))
    await writer.close()
    with store.readings.connect() as connection:
        assert set(connection.execute(select(meta.c.name)).scalars()) == {"by a", "by b"}


def test_a_holder_that_was_stopped_within_its_transaction_is_overtaken(postgres: Postgres) -> None:
    """PostgreSQL: its locks go with its session, which the server ends after five seconds."""
    here = postgres.new_database()
    stopped, standby = open_gateway_store(here, Path()), open_gateway_store(here, Path())
    a, b = Lease("journal"), Lease("journal")
    with stopped.engine.connect() as connection:
        assert a.take(connection)
        tries = 0
        taken = False
        while not taken:
            tries += 1
            try:
                with standby.engine.begin() as other:
                    taken = b.take(other)
            except Exception as error:  # noqa: BLE001 - which one is asserted
                assert "lock timeout" in str(error)  # noqa: PT017 - it may come several times
        assert 1 < tries < 8
        with pytest.raises(Exception, match="idle-in-transaction"):
            connection.execute(select(leases.c.name))
    stopped.close()
    standby.close()


# PostgreSQL goes away and comes back


async def test_a_writer_goes_on_when_postgresql_is_there_again(postgres: Postgres) -> None:
    """Nothing that was answered is lost, nothing is there twice, and what was refused can be said again."""
    opened = open_gateway_store(postgres.new_database(), Path())
    writer = Writer(opened.engine)
    writer.start()
    lease = Lease("journal")
    assert await writer.submit(lease.take_all, None)
    written: list[str] = []
    refusals: set[ErrorCode] = set()
    refused = asyncio.Event()

    async def write(number: int) -> None:
        while True:
            try:
                await writer.submit(note, (lease, f"{number}"))
            except Refused as refusal:
                refusals.add(refusal.code)
                refused.set()
                await asyncio.sleep(0.05)
            else:
                written.append(f"{number}")
                return

    writing = [asyncio.create_task(write(number)) for number in range(50)]
    await asyncio.gather(*writing)
    down = asyncio.to_thread(postgres.stop)
    more = [asyncio.create_task(write(number)) for number in range(50, 100)]
    await down
    more += [asyncio.create_task(write(number)) for number in range(100, 110)]
    await refused.wait()
    await asyncio.to_thread(postgres.start)
    await asyncio.gather(*more)
    assert not writer.failed.done()
    assert refusals == {ErrorCode.STORE_UNAVAILABLE}
    await writer.close()
    with opened.readings.connect() as connection:
        assert set(connection.execute(select(meta.c.name)).scalars()) == set(written)
        assert connection.execute(select(func.count()).select_from(meta)).scalar() == 110 == len(written)
    opened.close()
