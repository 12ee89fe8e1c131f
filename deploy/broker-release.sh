#!/bin/sh
# Makes another release of RabbitMQ usable beside the installed one, and prints the folder for RABBITMQ_HOME:
#
#     RABBITMQ_HOME="$(sh deploy/broker-release.sh 4)" make test
#
# 4: the package of Debian 13. sid: the newest package of Debian. Each is installed by debootstrap, from the mirror of
# this machine's own apt sources, into a folder under .brokers/ (about 500 MB) and runs in it by chroot; nothing of the
# system is changed but for debootstrap itself. As root. Remove .brokers/ to make it anew.
set -eu
cd "$(dirname "$0")/.."
say() { printf '%s\n' "$*" >&2; }
fail() { say "broker-release: $*"; exit 1; }

case "${1:-}" in
    4) suite=trixie ;;
    sid) suite=sid ;;
    *) say "usage: sh deploy/broker-release.sh 4|sid"; exit 2 ;;
esac
[ "$(id -u)" -eq 0 ] || fail "root rights are needed: it mounts folders and changes its root"

home="$PWD/.brokers/$1"
tree="$home/tree"
if [ ! -e "$home/ready" ]; then
    command -v debootstrap >/dev/null 2>&1 || apt-get install -y -qq --no-install-recommends debootstrap >/dev/null ||
        fail "debootstrap could not be installed"
    mirror="$(apt-get indextargets --format '$(REPO_URI) $(ORIGIN)' 'Created-By: Packages' | sed -n 's/ Debian$//p' | head -n 1)"
    [ -n "$mirror" ] || fail "this machine's apt sources name no Debian mirror"
    say "broker-release: installing RabbitMQ of Debian $suite (some minutes, once)"
    rm -rf "$home"
    mkdir -p "$home/sbin"
    debootstrap --variant=minbase --include=rabbitmq-server "$suite" "$tree" "$mirror" >"$home/log" 2>&1 ||
        { tail -n 20 "$home/log" >&2; fail "debootstrap failed"; }
    # Not every release makes it; without it no node finds the host of its own name.
    printf '127.0.0.1 localhost\n::1 localhost\n' >"$tree/etc/hosts"
    # The scripts of the same names in the tree, run with the tree as their root. What a node is given (its own folder and
    # what lies beside it) must be seen there under the same paths; the mount namespace goes with the process.
    for program in rabbitmq-server rabbitmqctl; do
        cat >"$home/sbin/$program" <<SCRIPT
#!/bin/sh
exec unshare --mount --propagation private -- /bin/sh -c '
    set -e
    for folder in "\$(dirname "\$PWD")" "\$HOME" /dev /proc /tmp; do
        [ -d "\$folder" ] || continue
        mkdir -p "$tree\$folder"
        mount --rbind "\$folder" "$tree\$folder"
    done
    exec chroot "$tree" /bin/sh -c '"'"'cd "\$0" && exec /usr/lib/rabbitmq/bin/$program "\$@"'"'"' "\$PWD" "\$@"
' $program "\$@"
SCRIPT
        chmod 755 "$home/sbin/$program"
    done
    release="$(basename "$(ls -d "$tree"/usr/lib/rabbitmq/lib/*/plugins/rabbit-[0-9]* | head -n 1)" .ez)"
    mkdir -p "$home/plugins/$release"
    touch "$home/ready"
fi
printf '%s\n' "$home"
