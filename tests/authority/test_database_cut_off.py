"""PostgreSQL behind a network that is cut: in a network of the test's own, which needs root (or ``sudo``)."""

import os
import subprocess
import sys

from tests.support.adapters import TREE

CUT = """
import fcntl, socket, struct
from sqlalchemy.exc import OperationalError
from tests.support import postgres
from gateway.store.opening import open_gateway_store
SIOCSIFFLAGS, IFF_UP = 0x8914, 1
def loopback(flags):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh22x", b"lo", flags))
loopback(IFF_UP)
postgres.SETTINGS["listen_addresses"] = "'127.0.0.1'"
with postgres.Postgres() as running:
    place = running.new_database().replace(str(running.folder), "127.0.0.1")
    store = open_gateway_store(place, running.folder)
    with store.engine.connect() as connection:
        connection.exec_driver_sql("SELECT 1")
        loopback(0)
        try:
            connection.exec_driver_sql("SELECT 2")
        except OperationalError:
            print("given up")
        loopback(IFF_UP)
    with store.engine.connect() as connection:
        print("there again", connection.exec_driver_sql("SELECT 3").scalar())
    store.close()
"""


def test_a_database_that_the_network_has_cut_off_is_given_up_and_taken_up_again() -> None:
    """The kernel alone would wait for a quarter of an hour, and the loop with it."""
    prefix = [] if os.geteuid() == 0 else ["sudo", "-n"]
    ended = subprocess.run(
        [*prefix, "unshare", "--net", sys.executable, "-c", CUT],
        cwd=TREE,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ended.stdout.splitlines() == ["given up", "there again 3"], ended.stderr
