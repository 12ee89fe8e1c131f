"""The log over HTTP, for anybody: its newest checkpoint and the tiles of its tree (C2SP tlog-tiles).

What is served are hashes and a signature. The entries say who wrote to whom, and are not public.
"""

import re

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.log_shelf import newest_checkpoint, tile

_PLACE = re.compile(r"(?P<level>0|[1-9][0-9]?)/(?P<number>(?:x[0-9]{3}/)*[0-9]{3})(?:\.p/(?P<width>[1-9][0-9]{0,2}))?")
MOST_LEVELS = 64
WIDEST_PARTIAL = 255
LONGEST_PLACE = 64
FOR_EVER = "public, max-age=31536000, immutable"
FOR_A_MOMENT = "no-cache"


def log_routes(readings: Engine) -> list[Route]:
    """``/log/checkpoint`` and ``/log/tile/<L>/<N>[.p/<W>]``; ``readings`` of the authority's store."""

    async def checkpoint(_request: Request) -> Response:
        try:
            with readings.connect() as connection:
                note = newest_checkpoint(connection)
        except SQLAlchemyError:
            return _away()
        if note is None:
            return _absent()
        return Response(note, media_type="text/plain; charset=utf-8", headers={"Cache-Control": FOR_A_MOMENT})

    async def one_tile(request: Request) -> Response:
        place = read_place(request.path_params["place"])
        if place is None:
            return _absent()
        try:
            with readings.connect() as connection:
                hashes = tile(connection, *place)
        except SQLAlchemyError:
            return _away()
        if hashes is None:
            return _absent()
        return Response(hashes, media_type="application/octet-stream", headers={"Cache-Control": FOR_EVER})

    return [Route("/log/checkpoint", checkpoint), Route("/log/tile/{place:path}", one_tile)]


def read_place(text: str) -> tuple[int, int, int | None] | None:
    """Level, number and width (None: a full tile) that the path of a tile names; None when it names none."""
    found = _PLACE.fullmatch(text) if len(text) <= LONGEST_PLACE else None
    if found is None:
        return None
    level, number = int(found["level"]), int(re.sub("[x/]", "", found["number"]))
    width = None if found["width"] is None else int(found["width"])
    is_spelt_out = found["number"].startswith("x000")
    if level >= MOST_LEVELS or (width or 0) > WIDEST_PARTIAL or is_spelt_out:
        return None
    return level, number, width


def _away() -> Response:
    """Of a store that does not answer; ``/readyz`` says so too."""
    return Response("the store does not answer\n", 503, media_type="text/plain; charset=utf-8")


def _absent() -> Response:
    return Response("not found\n", 404, media_type="text/plain; charset=utf-8")
