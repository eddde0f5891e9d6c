#!/bin/bash
# Tests the Debian package: builds it in a clean root of Debian 12, lets Debian's own tools
# look at it (lintian, piuparts, autopkgtest), then installs that one file in fresh roots of
# Debian 12 and 13 that boot with systemd, and goes through its life there (deb/checks.sh).
# As root, with debootstrap, systemd-container, piuparts and autopkgtest.
#   deb/test.sh [SUITE...]      the suites to install in; both without
# DEB_TEST_CACHE is a folder in which base roots are kept from one run to the next.
set -euo pipefail
cd "$(dirname "$0")/.."
. deb/roots.sh
export LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive PATH=$PATH:/usr/sbin:/sbin
unset PYTHONPATH PYTHONHOME
suites=("$@")
(( ${#suites[@]} )) || suites=(bookworm trixie)
work=$(mktemp -d /tmp/deb-test.XXXXXX)
cache=${DEB_TEST_CACHE:-$work/cache}
nspawn='' leader='' passed=0 result=FAILED

# On a booted system: what there is from the install on, then what follows a reboot.
first_steps=(install service session restart wrong-setting key-kept)
second_steps=(after-boot roles sockets port-443 upgrade downgrade instances remove reinstall
              purge original purge-database install-script)

# Ends what is still running and takes the mounts away, whatever happened.
clean_up() {
    power_off
    local folder
    for folder in "$work"/*/proc; do
        ! mountpoint -q "$folder" || umount "$folder"
    done
    rm -rf --one-file-system "$work"
    tell_result
}
trap clean_up EXIT

step_passed() {
    passed=$((passed + 1))
    say "$*"
}

# fail SENTENCE [LOG]: shows the end of the log.
fail() {
    [[ -z ${2:-} ]] || tail -n 40 "$2" >&2
    echo "not passed: $1" >&2
    exit 1
}

# new_root SUITE FOLDER: a minimal system that can boot.
new_root() {
    base_root "$1"
    cp -a "$cache/base-$1" "$2"
    printf '127.0.0.1 localhost\n' >"$2/etc/hosts"
}

# new_chroot FOLDER: a root of Debian 12 to work in, in which no service starts.
new_chroot() {
    new_root bookworm "$1"
    printf '#!/bin/sh\nexit 101\n' >"$1/usr/sbin/policy-rc.d"
    chmod 755 "$1/usr/sbin/policy-rc.d"
    mount -t proc proc "$1/proc"
}

in_root() { env -i PATH="$PATH" LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive chroot "$@"; }

# As the package is built: from what git tracks.
copy_sources() {
    mkdir -p "$1"
    git -c safe.directory='*' ls-files -z | tar --null --files-from=- -cf - | tar -xf - -C "$1"
}

build() {
    local root=$work/build log=$work/build.log
    new_chroot "$root"
    copy_sources "$root/src"
    in_root "$root" sh -ec '
        cd /src
        apt-get -qq update
        apt-get -qqy --no-install-recommends install dpkg-dev lintian make shellcheck
        shellcheck -x deb/*.sh debian/certbot-hook debian/*.p*inst debian/*.p*rm debian/tests/answers
        apt-get -qqy --no-install-recommends build-dep ./
        make deb
        lintian --allow-root --fail-on error,warning dist/*.changes
    ' >"$log" 2>&1 || fail build "$log"
    mkdir -p dist
    cp "$root"/src/dist/* dist/
    cp "$root"/src/dist/*.deb "$work/"
    step_passed "built, its own tests: $(grep -E '^(PASSED|FAILED)' "$log")"
}

# Everything is gone after a purge but the archive of key and database.  A stand-in for
# the key, which the server makes, sees to it that there is an archive.
piuparts_test() {
    local log=$work/piuparts.log scripts=$work/piuparts
    mkdir "$scripts" "$work/tmp"
    printf '#!/bin/sh\necho secret >/var/lib/rdserver/id_ed25519\n' >"$scripts/post_install_key"
    chmod 755 "$scripts/post_install_key"
    piuparts --existing-chroot="$cache/base-bookworm" --tmpdir="$work/tmp" \
        --distribution=bookworm --mirror="$(mirror) main" --no-eatmydata --no-upgrade-test \
        --scriptsdir="$scripts" \
        --ignore-regex='^/var/backups/rustdesk-server-[0-9TZ]+\.tar\.gz$' \
        "$work"/*.deb >"$log" 2>&1 || fail piuparts "$log"
    grep -q ' kept in /var/backups' "$log" || fail "piuparts purged without an archive" "$log"
    step_passed "piuparts: $(grep -o 'PASS: All tests' "$log")"
}

# debian/tests, against the installed package.
autopkgtest_test() {
    local root=$work/autopkgtest log=$work/autopkgtest.log
    new_chroot "$root"
    copy_sources "$work/sources"
    in_root "$root" sh -ec 'apt-get -qq update
        apt-get -qqy --no-install-recommends install dpkg-dev' >"$log" 2>&1 || fail apt "$log"
    autopkgtest --no-built-binaries --summary-file="$work/summary" "$work"/*.deb \
        "$work/sources" -- chroot "$root" >"$log" 2>&1 || fail autopkgtest "$log"
    step_passed "autopkgtest: $(tr -s ' ' <"$work/summary" | paste -sd ';')"
}

inside() {
    nsenter -t "$leader" -a env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 \
        DEBIAN_FRONTEND=noninteractive HOME=/root "$@"
}

# power_on ROOT: boots it, with no network but its own lo.
power_on() {
    local state='' log=$work/console.log
    systemd-nspawn -D "$1" --register=no --keep-unit --private-network -b \
        </dev/null >>"$log" 2>&1 &
    nspawn=$!
    for _ in {1..150}; do
        leader=$(pgrep -P "$nspawn" | head -n 1) || true
        [[ -z $leader ]] || state=$(inside systemctl is-system-running 2>/dev/null) || true
        [[ $state != running ]] || return 0
        sleep 0.2
    done
    fail "the system did not come up: ${state:-no state}" "$log"
}

power_off() {
    [[ -n $nspawn ]] || return 0
    inside systemctl poweroff >/dev/null 2>&1 || true
    end_within 10 || kill "$nspawn" 2>/dev/null || true
    end_within 10 || kill -KILL "$nspawn" 2>/dev/null || true
    wait "$nspawn" 2>/dev/null || true
    nspawn='' leader=''
}

# end_within SECONDS: whether the container has ended by then.
end_within() {
    local tries=$(($1 * 5))
    while kill -0 "$nspawn" 2>/dev/null; do
        (( tries-- )) || return 1
        sleep 0.2
    done
}

check() {
    inside bash /srv/checks.sh "$1" || fail "$suite: $1"
    passed=$((passed + 1))
}

test_in() {
    local suite=$1 root=$work/$1 log=$work/fetch.log step
    new_root "$suite" "$root"
    cp "$work"/rustdesk-server_*_all.deb "$root/srv/rustdesk-server.deb"
    cp deb/checks.sh deb/session.py deb/install.sh "$root/srv/"
    cp -r tests "$root/srv/"
    # Fetched now, for later there is no network.
    in_root "$root" sh -ec 'apt-get -qq update
        apt-get -qqy --no-install-recommends --download-only install /srv/rustdesk-server.deb' \
        >"$log" 2>&1 || fail fetch "$log"
    power_on "$root"
    say "$suite: booted"
    for step in "${first_steps[@]}"; do check "$step"; done
    power_off
    power_on "$root"
    for step in "${second_steps[@]}"; do check "$step"; done
    power_off
    rm -rf --one-file-system "$root"
    say "$suite: passed"
}

build
piuparts_test
autopkgtest_test
for suite in "${suites[@]}"; do test_in "$suite"; done
say "all passed"
result=PASSED
