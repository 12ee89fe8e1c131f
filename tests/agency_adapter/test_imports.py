"""What the commands import: little, and `agency run` nothing that it does not use: each library costs memory."""

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.agency_adapter.test_serving import settings_files

ROOMS = {"agency_adapter", "broker", "deploy", "pages", "schemas", "trust"}
CHOSEN = {
    "aio_pika", "cryptography", "fastapi", "hijridate", "joserfc", "prometheus_client", "pydantic", "sqlalchemy",
    "structlog", "typer", "uvicorn", "uvloop",
}  # fmt: skip
THEIRS = {
    # aio-pika's
    "aiormq", "pamqp", "yarl", "multidict", "propcache", "idna",
    # FastAPI's and uvicorn's
    "starlette", "anyio", "opentelemetry", "click", "httptools", "annotated_doc", "h11",
    # pydantic's
    "pydantic_core", "annotated_types", "typing_extensions", "typing_inspection",
    # cryptography's
    "_cffi_backend", "_openssl",
    # SQLAlchemy's
    "greenlet", "cython_runtime", "_cython_3_3_0", "_cython_3_3_1",
    # typer's
    "shellingham",
    # structlog's, which loads it to colour what we never colour
    "rich",
    "pygments",
    "attr",
}  # fmt: skip
"""What the chosen ones bring along."""

OF_THE_INTERPRETER = {"__main__", "__mp_main__", "_distutils_hack", "sitecustomize", "usercustomize"}

HEAVY = {"alembic", "mako", "hypothesis", "pytest", "testcontainers", "jwcrypto", "jsonschema", "gateway"}

NOTE = """
import atexit, json, sys
def note():
    with open({file!r}, "w") as file:
        json.dump(sorted(sys.modules), file)
atexit.register(note)
sys.argv = ["tarasul", *{arguments!r}]
from deploy.command import main
main()
"""


def packages(modules: list[str]) -> set[str]:
    """Top-level packages that are neither the interpreter's nor the standard library's."""
    found = {module.partition(".")[0] for module in modules}
    return {name for name in found - set(sys.stdlib_module_names) - OF_THE_INTERPRETER if "sysconfigdata" not in name}


def start(folder: Path, *arguments: str) -> subprocess.Popen[bytes]:
    code = NOTE.format(file=str(folder / "modules.json"), arguments=list(arguments))
    return subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": "."},
    )


def loaded(folder: Path) -> list[str]:
    found: list[str] = json.loads((folder / "modules.json").read_text())
    return found


@pytest.fixture(scope="module")
def of_run(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Modules of `tarasul agency run` on a current store, after it has started, answered and stopped."""
    folder = tmp_path_factory.mktemp("run")
    [config] = settings_files(folder, "MOF")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    config.write_text(config.read_text("utf-8").replace("port = 0", f"port = {port}"), "utf-8")
    for _ in range(2):  # the first start makes the store, with the migrations
        process = start(folder, "agency", "run", "--config", str(config))
        assert process.stderr is not None
        for line in process.stderr:
            if json.loads(line)["event"] == "adapter_started":
                break
        rest = threading.Thread(target=process.stderr.read)
        rest.start()
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
            for path in ("/healthz", "/metrics", "/readyz"):
                connection.request("GET", path)
                connection.getresponse().read()
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        rest.join()
        process.communicate()
    return loaded(folder)


def test_agency_run_imports_what_it_uses_and_no_more(of_run: list[str]) -> None:
    found = packages(of_run)
    assert found <= ROOMS | CHOSEN | THEIRS, "a new library costs every adapter memory: is it needed at once?"
    assert found >= ROOMS | CHOSEN, "what is not used any more is struck off this list"


def test_agency_run_imports_nothing_heavy_that_it_does_not_need(of_run: list[str]) -> None:
    assert HEAVY.isdisjoint(packages(of_run))


@pytest.mark.parametrize(
    ("arguments", "code"), [(("agency", "outbox", "--json", "--config", "none.toml"), 1), (("agency", "--help"), 0)]
)
def test_a_command_that_asks_imports_no_server(tmp_path: Path, arguments: tuple[str, ...], code: int) -> None:
    process = start(tmp_path, *arguments)
    process.communicate(timeout=60)
    assert process.returncode == code
    servers = {
        "aio_pika",
        "alembic",
        "cryptography",
        "fastapi",
        "joserfc",
        "prometheus_client",
        "sqlalchemy",
        "structlog",
    }
    found = packages(loaded(tmp_path))
    assert servers.isdisjoint(found)
    assert found >= {"agency_adapter", "typer", "pydantic"}
    assert ("rich.table" in loaded(tmp_path)) == ("--help" in arguments), "for people alone"
