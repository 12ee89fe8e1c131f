"""`deploy/setup.sh`: what it installs, what it leaves alone, and what it does after it was broken off.

Packages cannot be installed on the machine of the tests. So these tests, alone of all, use stand-ins: small scripts in
the place of apt-get, dpkg-query, systemctl, sudo and python3, which write down how they were called. The script is the
real one, run by the real shell, with its absolute paths turned to a folder of the test.
"""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

TREE = Path(__file__).parents[2]
SCRIPT = TREE / "deploy" / "setup.sh"
REAL_PROGRAMS = "sh dirname basename mktemp tail tee tr touch ln cp chmod rm cat sha256sum cut env grep mkdir"
NOTE = 'echo "$(basename "$0") $*" >>"$SANDBOX/calls"\n'

# The guard is noted as apt-get finds it: it must be there while packages are installed, not only before or after.
APT_GET = (
    NOTE
    + r"""
case "$*" in
    *update*) exec "$SANDBOX/on-update" ;;
    *install*)
        echo "guard $(cat "$SANDBOX/usr/sbin/policy-rc.d" 2>/dev/null | tr '\n' ' ')" >>"$SANDBOX/calls"
        exec "$SANDBOX/on-install" "$@" ;;
esac
"""
)
# Makes a virtual environment whose python is this stand-in again.
PYTHON = r"""
case "$*" in
    "--version") echo "$(cat "$SANDBOX/python-version")" ;;
    *"version_info[:2]"*) echo python3.99-venv ;;
    *version_info*) exit "$(cat "$SANDBOX/python-too-old")" ;;
    *ensurepip*) [ -e "$SANDBOX/ensurepip" ] ;;
    "-m venv --clear .venv")
        echo "venv" >>"$SANDBOX/calls"
        rm -rf .venv; mkdir -p .venv/bin; cp "$0" .venv/bin/python ;;
    *"pip install"*) echo "pip $*" >>"$SANDBOX/calls"; exec "$SANDBOX/on-pip" ;;
    *) echo "unexpected: $*" >&2; exit 99 ;;
esac
"""
INSTALLS = r"""
case "$*" in
    *python3-venv* | *python3.99-venv*) touch "$SANDBOX/ensurepip" ;;
    *openssl*) ln -s /bin/true "$SANDBOX/bin/openssl" ;;
    *rabbitmq-server*)
        mkdir -p "$SANDBOX/usr/lib/rabbitmq/bin"
        ln -sf /bin/true "$SANDBOX/usr/lib/rabbitmq/bin/rabbitmq-server"
        : >"$SANDBOX/half-installed"
        touch "$SANDBOX/units/rabbitmq-server.service" "$SANDBOX/units/epmd.socket" "$SANDBOX/units/epmd.service" ;;
    *postgresql*)
        echo "clusters $(cat "$SANDBOX/etc/postgresql-common/createcluster.conf")" >>"$SANDBOX/calls"
        mkdir -p "$SANDBOX/usr/lib/postgresql/15/bin" "$SANDBOX/usr/share/postgresql-common"
        ln -sf /bin/true "$SANDBOX/usr/lib/postgresql/15/bin/initdb"
        echo "#create_main_cluster = true" >"$SANDBOX/usr/share/postgresql-common/createcluster.conf"
        touch "$SANDBOX/units/postgresql.service" ;;
esac
"""


class Machine:
    """A fresh machine, as far as the script can see."""

    def __init__(self, folder: Path, *, user: int = 0) -> None:
        self.folder = folder
        self.guard = folder / "usr" / "sbin" / "policy-rc.d"
        for name in ("bin", "usr/sbin", "run/systemd/system", "units", "tmp", "tree/deploy"):
            (folder / name).mkdir(parents=True)
        for name in REAL_PROGRAMS.split():
            found = shutil.which(name)
            assert found is not None, name
            (folder / "bin" / name).symlink_to(found)
        self.stand_in("bin/apt-get", APT_GET)
        self.stand_in("bin/dpkg", NOTE)
        self.stand_in("bin/dpkg-query", 'cat "$SANDBOX/half-installed" 2>/dev/null')
        self.stand_in("bin/systemctl", NOTE + '[ "$1" != cat ] || [ -e "$SANDBOX/units/$2" ]')
        self.stand_in("bin/sudo", NOTE + '"$@"')
        self.stand_in("bin/id", f"echo {user}")
        self.stand_in("bin/python3", PYTHON)
        self.stand_in("on-install", INSTALLS)
        self.stand_in("on-update", "exit 0")
        self.stand_in("on-pip", "exit 0")
        self.write("python-version", "Python 3.99.0")
        self.write("python-too-old", "0")
        script = SCRIPT.read_text("utf-8")
        for place in ("/usr/", "/run/", "/opt/", "/etc/"):
            script = script.replace(f" {place}", f" {folder}{place}").replace(f"={place}", f"={folder}{place}")
        self.write("tree/deploy/setup.sh", script)
        self.write("tree/requirements/dev.txt", "locked==1\n")
        self.write("tree/pyproject.toml", "[project]\n")

    def write(self, name: str, content: str) -> Path:
        file = self.folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content, "utf-8")
        return file

    def stand_in(self, name: str, body: str) -> None:
        self.write(name, f"#!{shutil.which('sh')}\n{body}").chmod(0o755)

    def set_up(self, **environment: str) -> "subprocess.CompletedProcess[str]":
        (self.folder / "calls").write_text("", "ascii")
        return subprocess.run(
            [self.folder / "bin" / "sh", "tree/deploy/setup.sh"],
            cwd=self.folder,
            env={
                "PATH": str(self.folder / "bin"),
                "SANDBOX": str(self.folder),
                "TMPDIR": str(self.folder / "tmp"),
                **environment,
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    @property
    def calls(self) -> list[str]:
        return (self.folder / "calls").read_text("utf-8").splitlines()

    def installed(self) -> list[str]:
        """Packages that apt-get was asked for, in order."""
        return [call.split()[-1] for call in self.calls if call.startswith("apt-get ") and " install " in call]

    def is_ready(self) -> None:
        """Run once, so that nothing is left to do."""
        done = self.set_up()
        assert done.returncode == 0, done.stderr


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_the_shell_can_read_the_script() -> None:
    assert subprocess.run(["/bin/sh", "-n", SCRIPT], check=False).returncode == 0


# What is installed


def test_a_fresh_machine_gets_what_it_lacks_and_the_locked_dependencies(machine: Machine) -> None:
    done = machine.set_up()
    assert done.returncode == 0, done.stderr
    assert machine.installed() == ["python3-venv", "openssl", "rabbitmq-server", "postgresql"]
    assert all("--no-install-recommends" in call for call in machine.calls if " install -y" in call)
    made, locked, project = machine.calls[-3:]
    assert made == "venv"
    assert locked.endswith("--require-hashes -r requirements/dev.txt")
    assert "--no-deps" in project
    assert project.endswith("--editable .")
    assert done.stdout == ""
    assert list((machine.folder / "tmp").iterdir()) == []


def test_a_machine_that_is_ready_is_left_alone(machine: Machine) -> None:
    machine.is_ready()
    done = machine.set_up()
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert machine.calls == []


def test_without_root_rights_packages_are_installed_with_sudo(tmp_path: Path) -> None:
    machine = Machine(tmp_path, user=1000)
    machine.is_ready()
    installs = [number for number, call in enumerate(machine.calls) if call.startswith("apt-get ")]
    assert installs
    assert all(machine.calls[number - 1].startswith("sudo env ") for number in installs)
    assert not any(call.startswith("sudo") for call in machine.calls if "pip" in call)


def test_without_root_rights_and_sudo_it_says_so(tmp_path: Path) -> None:
    machine = Machine(tmp_path, user=1000)
    (tmp_path / "bin" / "sudo").unlink()
    done = machine.set_up()
    assert done.returncode == 1
    assert "root rights are needed" in done.stderr


def test_without_apt_it_says_what_is_missing(machine: Machine) -> None:
    (machine.folder / "bin" / "apt-get").unlink()
    done = machine.set_up()
    assert done.returncode == 1
    assert done.stderr.startswith("setup: python3-venv not found, and this is neither Debian nor Ubuntu")


@pytest.mark.parametrize(
    "place",
    ["usr/lib/rabbitmq/bin", "usr/lib/rabbitmq/lib/rabbitmq_server-4.0.5/sbin", "opt/rabbitmq/sbin", "bin", "own/sbin"],
)
def test_a_rabbitmq_that_is_there_is_not_touched(place: str, machine: Machine) -> None:
    machine.stand_in(f"{place}/rabbitmq-server", "exit 1")
    (machine.folder / "units" / "rabbitmq-server.service").touch()
    done = machine.set_up(RABBITMQ_HOME=str(machine.folder / "own"))
    assert done.returncode == 0, done.stderr
    assert "rabbitmq-server" not in machine.installed()
    assert not any(call.startswith("systemctl disable rabbitmq") for call in machine.calls)


@pytest.mark.parametrize(("python", "package"), [("python3", "python3-venv"), ("python3.99", "python3.99-venv")])
def test_each_python_has_a_package_of_its_own_for_virtual_environments(
    python: str, package: str, machine: Machine
) -> None:
    if python != "python3":
        machine.stand_in(f"bin/{python}", PYTHON)
    assert machine.set_up(PYTHON=python).returncode == 0
    assert machine.installed()[0] == package


def test_a_python_that_cannot_make_environments_even_then_is_named(machine: Machine) -> None:
    machine.stand_in("on-install", "exit 0")
    done = machine.set_up()
    assert done.returncode == 1
    assert "setup: python3 cannot make virtual environments" in done.stderr


def test_a_python_that_is_too_old_is_named_with_its_version(machine: Machine) -> None:
    machine.write("python-too-old", "1")
    machine.write("python-version", "Python 3.9.2")
    done = machine.set_up()
    assert done.returncode == 1
    assert "setup: Python 3.9.2 is too old" in done.stderr
    assert machine.calls == []


def test_a_python_that_is_not_there_is_named(machine: Machine) -> None:
    done = machine.set_up(PYTHON="python4")
    assert (done.returncode, done.stderr) == (1, "setup: python4 is not there\n")


# PostgreSQL


def test_no_database_cluster_is_made_beside_those_of_the_tests(machine: Machine) -> None:
    machine.is_ready()
    assert [call for call in machine.calls if call.startswith("clusters ")] == ["clusters create_main_cluster = false"]
    kept = machine.folder / "etc" / "postgresql-common" / "createcluster.conf"
    assert kept.read_text("utf-8") == "#create_main_cluster = true\n"


def test_what_somebody_said_about_clusters_is_left_as_it_is(machine: Machine) -> None:
    kept = machine.write("etc/postgresql-common/createcluster.conf", "create_main_cluster = true\n")
    machine.is_ready()
    assert "clusters create_main_cluster = true" in machine.calls
    assert kept.read_text("utf-8") == "create_main_cluster = true\n"


def test_a_forbidden_cluster_is_allowed_again_when_the_installation_fails(machine: Machine) -> None:
    machine.stand_in("on-install", INSTALLS.replace("*postgresql*)", "*postgresql*) exit 1"))
    assert machine.set_up().returncode == 1
    assert not (machine.folder / "etc" / "postgresql-common" / "createcluster.conf").exists()


def test_a_postgresql_that_is_there_is_not_touched(machine: Machine) -> None:
    machine.stand_in("usr/lib/postgresql/17/bin/initdb", "exit 1")
    machine.is_ready()
    assert "postgresql" not in machine.installed()
    assert not (machine.folder / "etc").exists()


# Services


def test_no_service_starts_while_packages_are_installed_and_none_is_enabled(machine: Machine) -> None:
    machine.is_ready()
    guards = [call for call in machine.calls if call.startswith("guard ")]
    assert len(guards) == 4
    assert all("exit 101" in guard for guard in guards)
    assert not machine.guard.exists()
    disabled = [call.split()[-1] for call in machine.calls if call.startswith("systemctl disable")]
    assert disabled == ["rabbitmq-server.service", "epmd.socket", "epmd.service", "postgresql.service"]


def test_a_service_that_was_there_before_stays_enabled(machine: Machine) -> None:
    (machine.folder / "units" / "epmd.service").touch()
    machine.is_ready()
    disabled = [call.split()[-1] for call in machine.calls if call.startswith("systemctl disable")]
    assert disabled == ["rabbitmq-server.service", "epmd.socket", "postgresql.service"]


def test_where_no_systemd_runs_none_is_asked(machine: Machine) -> None:
    (machine.folder / "run" / "systemd" / "system").rmdir()
    machine.is_ready()
    assert not any(call.startswith("systemctl") for call in machine.calls)


def test_somebody_elses_guard_is_left_as_it_is(machine: Machine) -> None:
    machine.guard.write_text("#!/bin/sh\nexit 0\n", "utf-8")
    machine.guard.chmod(0o700)
    before = machine.guard.stat()
    machine.is_ready()
    assert machine.guard.read_text("utf-8") == "#!/bin/sh\nexit 0\n"
    assert machine.guard.stat().st_mtime_ns == before.st_mtime_ns
    assert machine.guard.stat().st_mode == before.st_mode
    assert any(call.startswith("guard") and "exit 0" in call for call in machine.calls)


def test_somebody_elses_guard_may_be_a_link_to_nowhere(machine: Machine) -> None:
    machine.guard.symlink_to("nowhere")
    machine.is_ready()
    assert machine.guard.readlink() == Path("nowhere")
    assert not machine.guard.exists()


@pytest.mark.parametrize(
    "broken_off", ["exit 1", 'kill -9 "$(cat "$SANDBOX/shell")"', 'kill -TERM "$(cat "$SANDBOX/shell")"']
)
def test_our_guard_is_lifted_however_an_installation_ends(broken_off: str, machine: Machine) -> None:
    """After SIGKILL, by the next run."""
    script = machine.folder / "tree" / "deploy" / "setup.sh"
    script.write_text('echo $$ >"$SANDBOX/shell"\n' + script.read_text("utf-8"), "utf-8")
    machine.stand_in("on-install", broken_off)
    assert machine.set_up().returncode != 0
    if "-9" in broken_off:
        assert machine.guard.exists()
    else:
        assert not machine.guard.exists()
        assert list((machine.folder / "tmp").iterdir()) == []
    machine.stand_in("on-install", INSTALLS)
    machine.is_ready()
    assert not machine.guard.exists()


# Broken off, and begun again


def test_old_or_missing_lists_of_packages_are_fetched(machine: Machine) -> None:
    machine.stand_in("on-update", 'touch "$SANDBOX/updated"')
    machine.stand_in("on-install", f'[ -e "$SANDBOX/updated" ] || exit 100\n{INSTALLS}')
    done = machine.set_up()
    assert done.returncode == 0, done.stderr
    assert machine.installed() == ["python3-venv", "python3-venv", "openssl", "rabbitmq-server", "postgresql"]


def test_one_source_of_packages_that_does_not_answer_is_no_reason_to_stop(machine: Machine) -> None:
    machine.stand_in("on-update", 'touch "$SANDBOX/updated"; exit 100')
    machine.stand_in("on-install", f'[ -e "$SANDBOX/updated" ] || exit 100\n{INSTALLS}')
    done = machine.set_up()
    assert done.returncode == 0, done.stderr
    assert "apt-get update failed" in done.stderr


def test_a_package_that_cannot_be_installed_is_named_with_what_apt_said(machine: Machine) -> None:
    machine.stand_in("on-install", 'echo "E: Unable to locate package" >&2; exit 100')
    done = machine.set_up()
    assert done.returncode == 1
    assert "setup: apt-get could not install python3-venv" in done.stderr
    assert "E: Unable to locate package" in done.stderr


def test_an_interrupted_dpkg_is_brought_to_its_end_first(machine: Machine) -> None:
    machine.stand_in("bin/dpkg", NOTE + 'touch "$SANDBOX/configured"')
    machine.stand_in(
        "on-install",
        f'[ -e "$SANDBOX/configured" ] || {{ echo "E: you must manually run \'dpkg --configure -a\'" >&2; exit 100; }}'
        f"\n{INSTALLS}",
    )
    done = machine.set_up()
    assert done.returncode == 0, done.stderr
    assert "dpkg --configure -a" in machine.calls


@pytest.mark.parametrize("state", ["unpacked", "half-installed", "half-configured"])
def test_a_rabbitmq_that_is_half_installed_is_installed_again(state: str, machine: Machine) -> None:
    machine.stand_in("usr/lib/rabbitmq/bin/rabbitmq-server", "exit 1")
    machine.write("half-installed", state)
    machine.is_ready()
    assert "rabbitmq-server" in machine.installed()


def test_an_environment_that_was_broken_off_is_finished(machine: Machine) -> None:
    machine.stand_in("on-pip", 'echo "no network" >&2; exit 1')
    done = machine.set_up()
    assert done.returncode == 1
    assert "setup: pip could not install the dependencies" in done.stderr
    assert "no network" in done.stderr
    machine.stand_in("on-pip", "exit 0")
    machine.is_ready()
    assert [call.partition(" ")[0] for call in machine.calls] == ["pip", "pip"]


def test_an_environment_without_its_mark_is_made_anew(machine: Machine) -> None:
    """As when its making was broken off, or another tool had made it."""
    machine.stand_in("tree/.venv/bin/python", "exit 1")
    machine.is_ready()
    assert "venv" in machine.calls


@pytest.mark.parametrize("changed", ["tree/requirements/dev.txt", "tree/pyproject.toml"])
def test_changed_dependencies_are_installed_into_the_same_environment(changed: str, machine: Machine) -> None:
    machine.is_ready()
    machine.write(changed, "other==2\n")
    machine.is_ready()
    assert [call.partition(" ")[0] for call in machine.calls] == ["pip", "pip"]


def test_another_python_gets_another_environment(machine: Machine) -> None:
    machine.is_ready()
    machine.write("python-version", "Python 3.99.1")
    machine.is_ready()
    assert [call.partition(" ")[0] for call in machine.calls] == ["venv", "pip", "pip"]


def test_a_tree_that_has_moved_gets_another_environment(machine: Machine) -> None:
    """The scripts of an environment name the folder that it was made in."""
    machine.is_ready()
    (machine.folder / "tree").rename(machine.folder / "moved")
    (machine.folder / "tree").symlink_to("moved")
    machine.is_ready()
    assert [call.partition(" ")[0] for call in machine.calls] == ["venv", "pip", "pip"]


def test_these_tests_touch_nothing_of_the_machine(machine: Machine) -> None:
    """The script that they run names no absolute place outside the test's folder."""
    script = (machine.folder / "tree" / "deploy" / "setup.sh").read_text("utf-8")
    assert str(machine.folder) in script
    assert not re.search(r"(?<![\w.}])/(usr|run|opt|etc|var|srv|lib)/", script.replace(str(machine.folder), "sandbox"))
