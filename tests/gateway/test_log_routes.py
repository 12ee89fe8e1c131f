"""The log over HTTP: which paths name a tile, and what is answered while the store is away."""

import asyncio
from collections.abc import MutableMapping
from typing import Any

import pytest
from starlette.applications import Starlette

from gateway.log_routes import log_routes, read_place
from gateway.store.opening import GatewayStore
from tests.gateway.databases import place, postgres, store

__all__ = ["place", "postgres", "store"]


def status(store: GatewayStore, where: str) -> int:
    """What ``GET`` is answered with."""
    app, sent = Starlette(routes=log_routes(store.readings)), list[MutableMapping[str, Any]]()

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": where, "headers": [], "query_string": b"", "root_path": ""}
    asyncio.run(app(scope, receive, send))
    code: int = sent[0]["status"]
    return code


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("0/000", (0, 0, None)),
        ("0/067.p/255", (0, 67, 255)),
        ("2/x001/x234/067", (2, 1_234_067, None)),  # the example of C2SP tlog-tiles
        ("63/000.p/1", (63, 0, 1)),
    ],
)
def test_a_tile_is_named_by_level_number_and_width(text: str, named: tuple[int, int, int | None]) -> None:
    assert read_place(text) == named


@pytest.mark.parametrize(
    "text",
    ["", "0", "0/", "0/0", "00/000", "64/000", "-1/000", "0/x000/067", "0/001/067", "0/x001/67", "0/000.p/0",
     "0/000.p/01", "0/000.p/256", "0/000.p/", "0/000/", "0/\u0660\u0660\u0660", "entries/000",
     "0/" + "x999/" * 20 + "999"],
)  # fmt: skip
def test_anything_else_names_none(text: str) -> None:
    assert read_place(text) is None


def test_an_empty_log_has_nothing_to_serve(store: GatewayStore) -> None:
    assert [status(store, where) for where in ("/log/checkpoint", "/log/tile/0/000", "/log/tile/0/0")] == [404] * 3


def test_while_the_store_does_not_answer_that_is_said(store: GatewayStore) -> None:
    with store.engine.begin() as connection:
        for table in ("log_heads", "log_tiles"):
            connection.exec_driver_sql(f"DROP TABLE {table}")
    assert [status(store, where) for where in ("/log/checkpoint", "/log/tile/0/000")] == [503] * 2
