"""A private node whose broker runs in a container, by testcontainers: for machines with a container engine.

It is the private node in everything but the process: its folder is mounted under its own path, its network is the
machine's, so certificates, ports on loopback and the configuration from the one template are the same. The engine must
therefore run on this machine, and on Linux. Nothing of the image's own configuration is read.

Should the tests be killed, testcontainers' reaper ends the container, and the keeper removes the folder.
"""

import functools
import os
import subprocess
from dataclasses import replace
from typing import Any

from docker.models.containers import Container
from testcontainers.core.container import DockerContainer

from broker.node import CTL_SECONDS, PrivateNode
from broker.node_installation import Installation, find_installation
from broker.node_link import KeeperLink

IMAGE = os.environ.get("TARASUL_IMAGE", "rabbitmq:4-management")


@functools.cache
def container_installation() -> Installation:
    """The installed broker's places with the release of the image."""
    with DockerContainer(IMAGE, entrypoint=["sleep", "60"], network_mode="host") as container:
        code, output = container.get_wrapped_container().exec_run(["rabbitmqctl", "version"], stderr=False)
    if code:
        raise RuntimeError(f"no rabbitmqctl in {IMAGE}: {output!r}")
    return replace(find_installation(), version=output.decode().strip())


class ContainerNode(PrivateNode):
    """See the module's docstring."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.installation = container_installation()
        self._keeper = _ContainerKeeper(self)

    def ctl(self, *arguments: str, seconds: float = CTL_SECONDS) -> str:  # noqa: ARG002 - the engine knows no limit
        command = ["rabbitmqctl", "--quiet", *arguments]
        code, (out, error) = self._keeper.container.exec_run(
            command, environment=_environment(self), workdir=str(self.directory), demux=True
        )
        if code:
            raise subprocess.CalledProcessError(code, command, out, error)
        return (out or b"").decode("utf-8", "replace")


class _ContainerKeeper(KeeperLink):
    """Keeps the folder as the keeper does, and the broker in a container."""

    def __init__(self, node: ContainerNode) -> None:
        super().__init__(node.directory, temporary=node.temporary)
        self._node = node
        self._started: DockerContainer | None = None

    @property
    def container(self) -> Container:
        assert self._started is not None, "the broker does not run"
        return self._started.get_wrapped_container()

    def ask(self, request: dict[str, object], seconds: float) -> str:
        match request["do"]:
            case "start":
                self._start()
                self.container.reload()
                return f"started {self.container.attrs['State']['Pid']}"
            case "stop" if self._started is not None:
                self.container.stop(timeout=int(seconds))
                self._remove()
            case "kill":
                self._remove()
            case "status" if self._started is not None:
                self.container.reload()
                return str(self.container.status)
        return "none"

    def close(self) -> None:
        self._remove()
        super().close()

    def _start(self) -> None:
        node, tls = self._node, self._node.tls.broker
        self._remove()
        self._started = DockerContainer(
            IMAGE,
            env=_environment(node),
            entrypoint=["rabbitmq-server"],
            network_mode="host",
            user=f"{os.geteuid()}:{os.getegid()}",
            working_dir=str(node.directory),
        )
        for folder in {node.directory, *(file.absolute().parent for file in (tls.authority, tls.certificate, tls.key))}:
            self._started.with_volume_mapping(folder, str(folder), "rw")
        self._started.start()

    def _remove(self) -> None:
        """End the container at once, whatever it does."""
        started, self._started = self._started, None
        if started is not None:
            started.stop()


def _environment(node: ContainerNode) -> dict[str, str]:
    """The node's own, but for the path, which is the image's."""
    return {name: value for name, value in node._environment().items() if name != "PATH"}
