"""A part that ends of itself says so: nothing that looks alive has stopped moving letters."""

import asyncio
import ssl
from collections.abc import Sequence
from pathlib import Path

import pytest
from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError

from broker.clock import Clock
from broker.connection import BrokerAddress
from broker.life import Life
from broker.relay import Relay
from broker.session import Session, SessionState
from broker.sqlite import open_store
from broker.writer import Writer
from schemas.errors import ErrorCode, Refused


async def one(_connection: Connection, items: Sequence[int]) -> list[int | Refused]:
    return list(items)


async def until_failed(failed: asyncio.Future[None]) -> BaseException:
    await asyncio.wait((failed,))
    error = failed.exception()
    assert error is not None
    return error


async def test_a_task_that_raises_is_told_to_the_owner_with_its_exception() -> None:
    async def work() -> None:
        raise ValueError("unforeseen")

    life = Life("part")
    life.begin(work())
    with pytest.raises(ValueError, match="unforeseen"):
        await life.failed
    await life.over()


async def test_a_stray_cancellation_is_a_failure() -> None:
    async def work() -> None:
        raise asyncio.CancelledError

    life = Life("part")
    life.begin(work())
    with pytest.raises(RuntimeError, match="the part was cancelled"):
        await life.failed


async def test_the_first_failure_is_the_one_that_is_told() -> None:
    life = Life("part")
    life.begin(asyncio.sleep(0))
    life.fail(KeyError("first"))
    life.fail(ValueError("second"))
    assert isinstance(await until_failed(life.failed), KeyError)


async def test_an_ordinary_end_is_no_failure() -> None:
    life = Life("part")
    life.begin(asyncio.sleep(0))
    await life.over()
    assert not life.failed.done()


async def test_a_writer_without_a_store_refuses_those_who_wait_and_says_why(tmp_path: Path) -> None:
    engine = open_store(tmp_path / "store.db")
    (tmp_path / "store.db").unlink()
    (tmp_path / "store.db").mkdir()
    writer = Writer(engine)
    writer.start()
    waiting = asyncio.gather(*(writer.submit(one, n) for n in range(3)), return_exceptions=True)
    assert isinstance(await until_failed(writer.failed), OperationalError)
    answers = [answer.code for answer in await waiting if isinstance(answer, Refused)]
    assert answers == [ErrorCode.STORE_UNAVAILABLE] * 3
    with pytest.raises(Refused):
        await writer.submit(one, 4)
    await writer.close()
    engine.dispose()


async def test_a_writer_that_fails_with_a_group_in_hand_answers_that_group(tmp_path: Path) -> None:
    engine = open_store(tmp_path / "store.db")
    writer = Writer(engine)

    async def stray(_connection: Connection, _items: Sequence[int]) -> list[int | Refused]:
        raise asyncio.CancelledError

    writer.start()
    with pytest.raises(Refused) as refused:
        await writer.submit(stray, 1)
    assert refused.value.code is ErrorCode.STORE_UNAVAILABLE
    assert isinstance(await until_failed(writer.failed), RuntimeError)
    await writer.close()
    engine.dispose()


def idle_session(folder: Path) -> Session:
    address = BrokerAddress(("127.0.0.1:1",), folder / "x.pem", folder / "x.key", folder / "root.pem")
    return Session(address, "from.MPW", {}, "test")


class Unforeseen:
    """An outbox that lacks what the relay asks of it."""


async def test_a_relay_that_meets_what_it_does_not_foresee_says_so(tmp_path: Path) -> None:
    engine = open_store(tmp_path / "store.db")
    session = idle_session(tmp_path)
    session.state = SessionState.READY
    writer = Writer(engine)
    writer.start()
    relay = Relay(session, writer, [Unforeseen()], Clock())  # type: ignore[list-item] # that is it
    relay.start()
    assert isinstance(await until_failed(relay.failed), AttributeError)
    await relay.stop()
    await writer.close()
    engine.dispose()


class CountedAddress(BrokerAddress):
    """Says when its certificates have been asked for a second time."""

    asked = 0
    again = asyncio.Event()

    def tls(self) -> ssl.SSLContext:
        CountedAddress.asked += 1
        if self.asked > 1:
            self.again.set()
        return BrokerAddress.tls(self)


async def test_missing_certificates_are_waited_for_and_do_not_end_the_session(tmp_path: Path) -> None:
    address = CountedAddress(("127.0.0.1:1",), tmp_path / "x.pem", tmp_path / "x.key", tmp_path / "root.pem")
    session = Session(address, "from.MPW", {}, "test")
    session.start()
    await address.again.wait()
    assert not session.failed.done()
    await session.stop()
    assert "FileNotFoundError" in (session.last_error or "")
    assert not session.failed.done()
    assert session.state is SessionState.DOWN


async def test_a_session_that_can_be_built_no_more_says_so(tmp_path: Path) -> None:
    session = idle_session(tmp_path)

    def listener(_state: SessionState) -> None:
        raise LookupError("a listener failed")

    session.on_change.append(listener)
    session.start()
    assert isinstance(await until_failed(session.failed), LookupError)
