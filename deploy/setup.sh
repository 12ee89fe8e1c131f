#!/bin/sh
# Makes a machine ready for the demonstration and the tests: RabbitMQ and Erlang from the system's packages, and the
# Python dependencies, pinned by hash, in .venv. Debian 12 and 13, Ubuntu 24.04; as root or with sudo. Quick when there
# is nothing to do.
set -eu
cd "$(dirname "$0")/.."
PYTHON="${PYTHON:-python3}"
LOG="$(mktemp)"
GUARD=/usr/sbin/policy-rc.d
guard_is_ours=no

say() { printf '%s\n' "$*" >&2; }
fail() { say "setup: $*"; [ -s "$LOG" ] && tail -n 20 "$LOG" >&2; exit 1; }
as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"; else
        command -v sudo >/dev/null 2>&1 || fail "root rights are needed to install packages, and there is no sudo"
        sudo "$@"
    fi
}
tidy() {
    [ "$guard_is_ours" = yes ] && as_root rm -f "$GUARD"
    rm -f "$LOG"
}
trap tidy EXIT
trap 'exit 130' INT TERM

rabbitmq_is_there() {
    command -v rabbitmq-server >/dev/null 2>&1 || [ -x /usr/sbin/rabbitmq-server ] || [ -x /usr/lib/rabbitmq/bin/rabbitmq-server ]
}

install_packages() {
    command -v apt-get >/dev/null 2>&1 || fail "$* not found, and this is neither Debian nor Ubuntu: install it yourself"
    say "setup: installing $* from the system's packages"
    # The packages start and enable services of their own. We want the programs, not the services.
    if [ ! -e "$GUARD" ]; then
        printf '#!/bin/sh\nexit 101\n' | as_root tee "$GUARD" >/dev/null
        as_root chmod 755 "$GUARD"
        guard_is_ours=yes
    fi
    if ! as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >"$LOG" 2>&1; then
        as_root apt-get update -qq >>"$LOG" 2>&1 || fail "apt-get update failed"
        as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >>"$LOG" 2>&1 ||
            fail "apt-get could not install $*"
    fi
}

command -v "$PYTHON" >/dev/null 2>&1 || install_packages python3
"$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || fail "$("$PYTHON" --version) is too old: 3.11 or later is needed"
"$PYTHON" -c 'import ensurepip, venv' 2>/dev/null || install_packages python3-venv
command -v openssl >/dev/null 2>&1 || install_packages openssl
if ! rabbitmq_is_there; then
    install_packages rabbitmq-server
    if [ -d /run/systemd/system ]; then as_root systemctl disable rabbitmq-server.service epmd.socket epmd.service >>"$LOG" 2>&1 || true; fi
fi

stamp="$(cat requirements/dev.txt pyproject.toml | sha256sum | cut -d' ' -f1) $("$PYTHON" --version)"
if [ ! -x .venv/bin/python ] || [ "$(cat .venv/tarasul-stamp 2>/dev/null)" != "$stamp" ]; then
    say "setup: Python dependencies into .venv"
    [ -x .venv/bin/python ] || "$PYTHON" -m venv .venv >"$LOG" 2>&1 || fail "the virtual environment could not be made"
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt >"$LOG" 2>&1 ||
        fail "pip could not install the dependencies"
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable . >"$LOG" 2>&1 ||
        fail "pip could not install the project"
    printf '%s' "$stamp" >.venv/tarasul-stamp
fi
