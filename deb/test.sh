#!/bin/bash
# Tests the Debian package: builds it in a clean root of Debian 12, then installs that one
# file in fresh roots of Debian 12 and 13 that boot with systemd, and goes through its
# life there (deb/checks.sh).  As root, with debootstrap and systemd-container.
#   deb/test.sh [SUITE...]      the suites to install in; both without
# DEB_TEST_CACHE is a folder in which base roots are kept from one run to the next.
set -euo pipefail
cd "$(dirname "$0")/.."
export LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive PATH=$PATH:/usr/sbin:/sbin
unset PYTHONPATH PYTHONHOME
suites=("$@")
(( ${#suites[@]} )) || suites=(bookworm trixie)
work=$(mktemp -d /tmp/deb-test.XXXXXX)
cache=${DEB_TEST_CACHE:-$work}
nspawn='' leader=''

# Ends what is still running and takes the mount away, whatever happened.
clean_up() {
    power_off
    ! mountpoint -q "$work/build/proc" || umount "$work/build/proc"
    rm -rf --one-file-system "$work"
}
trap clean_up EXIT

say() { printf '%5d s  %s\n' "$SECONDS" "$*"; }

fail() {
    echo "FAILED: $*" >&2
    exit 1
}

mirror() {
    awk '/^URIs:/ { print $2; exit } /^deb / { print $2; exit }' \
        /etc/apt/sources.list.d/debian.sources /etc/apt/sources.list 2>/dev/null
}

# new_root SUITE FOLDER: a minimal system that can boot.
new_root() {
    local base=$cache/base-$1
    if [[ ! -e $base/etc/debian_version ]]; then
        debootstrap --variant=minbase --include=systemd,dbus,iproute2 "$1" "$base" \
            "$(mirror)" >"$work/debootstrap.log" || fail "debootstrap $1"
    fi
    cp -a "$base" "$2"
    printf '127.0.0.1 localhost\n' >"$2/etc/hosts"
}

in_root() { env -i PATH="$PATH" LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive chroot "$@"; }

build() {
    new_root bookworm "$work/build"
    mkdir -p "$work/build/src"
    git -c safe.directory='*' ls-files -z |
        tar --null --files-from=- -cf - | tar -xf - -C "$work/build/src"
    mount -t proc proc "$work/build/proc"
    in_root "$work/build" sh -ec '
        cd /src
        apt-get -qq update
        apt-get -qqy --no-install-recommends install dpkg-dev lintian make
        apt-get -qqy --no-install-recommends build-dep ./
        make deb
        lintian --allow-root --fail-on error,warning dist/*.changes
    ' >"$work/build.log" 2>&1 || { tail -n 40 "$work/build.log"; fail build; }
    umount "$work/build/proc"
    mkdir -p dist
    cp "$work"/build/src/dist/* dist/
    say "built: $(grep -E '^(PASSED|FAILED)' "$work/build.log")"
}

inside() {
    nsenter -t "$leader" -a env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 \
        DEBIAN_FRONTEND=noninteractive HOME=/root "$@"
}

# power_on ROOT: boots it, with no network but its own lo.
power_on() {
    local state='' tries
    systemd-nspawn -D "$1" --register=no --keep-unit --private-network -b \
        </dev/null >>"$work/console.log" 2>&1 &
    nspawn=$!
    for tries in {1..150}; do
        leader=$(pgrep -P "$nspawn" | head -n 1) || true
        [[ -z $leader ]] || state=$(inside systemctl is-system-running 2>/dev/null) || true
        [[ $state != running ]] || return 0
        sleep 0.2
    done
    fail "the system did not come up in $tries steps: ${state:-no state}"
}

power_off() {
    [[ -n $nspawn ]] || return 0
    inside systemctl poweroff >/dev/null 2>&1 || true
    for _ in {1..50}; do
        kill -0 "$nspawn" 2>/dev/null || break
        sleep 0.2
    done
    kill "$nspawn" 2>/dev/null || true
    wait "$nspawn" 2>/dev/null || true
    nspawn='' leader=''
}

check() { inside bash /srv/checks.sh "$@" || fail "$suite: $*"; }

test_in() {
    local suite=$1 root=$work/$1 step
    new_root "$suite" "$root"
    cp dist/rustdesk-server_*_all.deb deb/checks.sh deb/session.py "$root/srv/"
    cp -r tests "$root/srv/"
    # Fetched now, for later there is no network.
    in_root "$root" sh -ec 'apt-get -qq update
        apt-get -qqy --no-install-recommends --download-only install /srv/*.deb' \
        >"$work/fetch.log" 2>&1 || { tail -n 20 "$work/fetch.log"; fail fetch; }
    power_on "$root"
    say "$suite: booted"
    for step in install service session restart key-kept; do check "$step"; done
    power_off
    power_on "$root"
    for step in after-boot roles port-443 remove reinstall purge original; do check "$step"; done
    power_off
    say "$suite: passed"
}

build
for suite in "${suites[@]}"; do test_in "$suite"; done
say "all passed"
