"""Letters through the local API of a running adapter: a small HTTP client, many requests side by side."""

import asyncio
import json
import sqlite3
import time
from pathlib import Path

CONNECTIONS = 32
LOOK_SECONDS = 0.02


async def send(port: int, token: str, letters: list[bytes]) -> None:
    """Ask the adapter at ``port`` to send each of ``letters``; returns when all are accepted.

    Raises:
        RuntimeError: at an answer that is not 202.
    """
    left = iter(letters)

    async def clerk() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for letter in left:
            head = (
                f"POST /v1/letters HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n"
                f"Content-Type: application/json\r\nContent-Length: {len(letter)}\r\n\r\n"
            )
            writer.write(head.encode("ascii") + letter)
            answer = (await reader.readuntil(b"\r\n\r\n")).decode("ascii").lower()
            if " 202 " not in answer.split("\r\n", 1)[0]:
                raise RuntimeError(answer)
            length = answer.partition("content-length: ")[2].partition("\r\n")[0]
            await reader.readexactly(int(length))
        writer.close()
        await writer.wait_closed()

    await asyncio.gather(*(clerk() for _ in range(CONNECTIONS)))


def delivered(store: Path) -> int:
    """Transmissions with their stored *delivered*, read beside the adapter."""
    connection = sqlite3.connect(f"file:{store}?mode=ro", uri=True)
    try:
        found: int = connection.execute("SELECT count(*) FROM transmissions WHERE state = 'delivered'").fetchone()[0]
        return found
    finally:
        connection.close()


def measure(folder: Path, port: int, letters: int, recipient: str, text: str) -> float:
    """Letters a second, from the first request to the last stored *delivered*, at the adapter in ``folder``."""
    token = (folder / "token").read_text("ascii").strip()
    before = delivered(folder / "store.db")
    bodies = [
        json.dumps(
            {
                "recipients": [{"agency": recipient}],
                "content": {"subject": f"أعمال صيانة الطرق رقم {number}", "body": text},
            },
            ensure_ascii=False,
        ).encode()
        for number in range(letters)
    ]
    began = time.perf_counter()
    asyncio.run(send(port, token, bodies))
    while delivered(folder / "store.db") < before + letters:
        time.sleep(LOOK_SECONDS)
    return letters / (time.perf_counter() - began)
