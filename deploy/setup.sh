#!/bin/sh
# Makes a machine ready for the demonstration and the tests: RabbitMQ, Erlang and PostgreSQL from the system's packages,
# and the Python dependencies, pinned by hash, in .venv. Debian 12 and 13, Ubuntu 24.04; as root or with sudo. Quick when there
# is nothing to do, and may be run again after it was broken off at any point.
#
#   PYTHON=python3.12 make setup       another Python than the system's; 3.11 or later
set -eu
unset CDPATH
cd "$(dirname "$0")/.."
PYTHON="${PYTHON:-python3}"
GUARD=/usr/sbin/policy-rc.d
GUARD_MARK="# made by Tarasul's deploy/setup.sh for the time of an installation"
CLUSTERS=/etc/postgresql-common/createcluster.conf
LOG="$(mktemp)"
guard_is_ours=no
clusters_are_ours=no

say() { printf '%s\n' "$*" >&2; }
fail() { say "setup: $*"; [ -s "$LOG" ] && tail -n 20 "$LOG" >&2; exit 1; }
as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"; else
        command -v sudo >/dev/null 2>&1 || fail "root rights are needed to install packages, and there is no sudo"
        sudo "$@"
    fi
}
tidy() {
    lift_guard
    allow_clusters
    rm -f "$LOG"
}
trap tidy EXIT
trap 'exit 130' HUP INT TERM

# The packages start services of their own as they are installed. We want the programs, not the services. A guard that
# somebody else has set is theirs to keep; one of ours that a killed run has left is taken over, and lifted.
set_guard() {
    [ "$guard_is_ours" = no ] || return 0
    if [ -e "$GUARD" ] || [ -L "$GUARD" ]; then
        grep -qxF "$GUARD_MARK" "$GUARD" 2>/dev/null || return 0
    fi
    guard_is_ours=yes
    printf '#!/bin/sh\n%s\nexit 101\n' "$GUARD_MARK" | as_root tee "$GUARD" >/dev/null
    as_root chmod 755 "$GUARD"
}
lift_guard() {
    [ "$guard_is_ours" = yes ] || return 0
    as_root rm -f "$GUARD"
    guard_is_ours=no
}

apt_get() {
    # Suspended: needrestart, which would restart services that are none of ours. Another apt is waited for.
    as_root env DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 apt-get -qq -o DPkg::Lock::Timeout=300 "$@" >>"$LOG" 2>&1
}
install_packages() {
    command -v apt-get >/dev/null 2>&1 || fail "$* not found, and this is neither Debian nor Ubuntu: install it yourself"
    say "setup: installing $* from the system's packages"
    set_guard
    : >"$LOG"
    apt_get install -y --no-install-recommends "$@" && return 0
    if grep -qF 'dpkg --configure -a' "$LOG"; then
        as_root env DEBIAN_FRONTEND=noninteractive dpkg --configure -a >>"$LOG" 2>&1 || fail "dpkg --configure -a failed"
    fi
    # The lists of packages may be missing or old. One source among others that does not answer is no reason to stop.
    apt_get update || say "setup: apt-get update failed; trying all the same"
    apt_get install -y --no-install-recommends "$@" || fail "apt-get could not install $*"
}

half_installed() {
    case "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" in
        unpacked | half-installed | half-configured) return 0 ;;
        *) return 1 ;;
    esac
}
# Where broker/node_installation.py looks.
rabbitmq_is_there() {
    half_installed rabbitmq-server && return 1
    command -v rabbitmq-server >/dev/null 2>&1 && return 0
    for place in "${RABBITMQ_HOME:-/nowhere}/sbin" /usr/lib/rabbitmq/bin /usr/lib/rabbitmq/lib/*/sbin /opt/rabbitmq/sbin; do
        [ -x "$place/rabbitmq-server" ] && return 0
    done
    return 1
}
install_without_services() { # PACKAGE UNIT…
    package="$1" units_from_us= systemd=no
    shift
    if [ -d /run/systemd/system ] && command -v systemctl >/dev/null 2>&1; then systemd=yes; fi
    if [ "$systemd" = yes ]; then
        for unit in "$@"; do
            # One that is there already belongs to somebody, unless an installation of ours was broken off.
            if half_installed "$package" || ! systemctl cat "$unit" >/dev/null 2>&1; then
                units_from_us="$units_from_us $unit"
            fi
        done
    fi
    install_packages "$package"
    for unit in $units_from_us; do
        systemctl cat "$unit" >/dev/null 2>&1 || continue
        as_root systemctl disable "$unit" >>"$LOG" 2>&1 || say "setup: $unit could not be disabled; it starts with the machine"
    done
}

# Where tests/support/postgres.py looks.
postgresql_is_there() {
    half_installed postgresql && return 1
    for place in /usr/lib/postgresql/*/bin; do
        [ -x "$place/initdb" ] && return 0
    done
    return 1
}
# The package makes a database cluster of its own. For the time of the installation it is told not to, unless somebody
# has said already what it shall do.
forbid_clusters() {
    [ ! -e "$CLUSTERS" ] || return 0
    clusters_are_ours=yes
    as_root mkdir -p "$(dirname "$CLUSTERS")"
    echo 'create_main_cluster = false' | as_root tee "$CLUSTERS" >/dev/null
}
allow_clusters() {
    [ "$clusters_are_ours" = yes ] || return 0
    clusters_are_ours=no
    as_root rm -f "$CLUSTERS"
    [ ! -e /usr/share/postgresql-common/createcluster.conf ] ||
        as_root cp /usr/share/postgresql-common/createcluster.conf "$CLUSTERS"
}

has_ensurepip() { "$PYTHON" -c 'import ensurepip, venv' >/dev/null 2>&1; }

[ "$PYTHON" != python3 ] || command -v python3 >/dev/null 2>&1 || install_packages python3
command -v "$PYTHON" >/dev/null 2>&1 || fail "$PYTHON is not there"
"$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || fail "$("$PYTHON" --version) is too old: 3.11 or later is needed (PYTHON=…)"
if ! has_ensurepip; then
    # Debian keeps what a virtual environment is made with in a package of its own, one for each Python.
    if [ "$PYTHON" = python3 ]; then install_packages python3-venv; else
        install_packages "$("$PYTHON" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')"
    fi
    has_ensurepip || fail "$PYTHON cannot make virtual environments: it has no ensurepip"
fi
command -v openssl >/dev/null 2>&1 || install_packages openssl
rabbitmq_is_there || install_without_services rabbitmq-server rabbitmq-server.service epmd.socket epmd.service
if ! postgresql_is_there; then
    forbid_clusters
    install_without_services postgresql postgresql.service
    allow_clusters
fi
lift_guard

# What the environment was made from. Its scripts name their folder, its packages the version of Python.
made_with="$("$PYTHON" --version) $(pwd -P)"
wanted="$(cat requirements/dev.txt pyproject.toml | sha256sum | cut -d' ' -f1)"
if [ "$(cat .venv/tarasul-stamp 2>/dev/null)" != "$made_with $wanted" ]; then
    say "setup: Python dependencies into .venv"
    if [ "$(cat .venv/tarasul-made-with 2>/dev/null)" != "$made_with" ]; then
        "$PYTHON" -m venv --clear .venv >"$LOG" 2>&1 || fail "the virtual environment could not be made"
        printf '%s' "$made_with" >.venv/tarasul-made-with
    fi
    rm -f .venv/tarasul-stamp
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt >"$LOG" 2>&1 ||
        fail "pip could not install the dependencies"
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable . >"$LOG" 2>&1 ||
        fail "pip could not install the project"
    printf '%s' "$made_with $wanted" >.venv/tarasul-stamp
fi
