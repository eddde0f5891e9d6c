# Read by the tests of package and image: minimal systems to begin with, and what they say.
# They have cache, a folder in which these are kept, work, where logs go, fail, and result
# and passed, which are told at the end.
# shellcheck shell=bash disable=SC2154

say() { printf '%5d s  %s\n' "$SECONDS" "$*"; }

# In the form of trial's last line, for those who count.
tell_result() {
    if [[ $result == PASSED ]]; then
        echo "PASSED (successes=$passed)"
    else
        echo "FAILED (failures=1, successes=$passed)"
    fi
}

# DEB_TEST_MIRROR is where packages come from, else it is what this machine's apt uses.
mirror() {
    local found=${DEB_TEST_MIRROR:-}
    if [[ -z $found ]] && grep -qx ID=debian /etc/os-release; then
        found=$(grep -hE '^(URIs:|deb )' /etc/apt/sources.list.d/debian.sources \
            /etc/apt/sources.list 2>/dev/null |
            grep -oE -m 1 'https?://[^ ]+/debian/?( |$)') || true
    fi
    echo "${found:-http://deb.debian.org/debian}"
}

# base_root SUITE: sees to $cache/base-SUITE, which can boot.  It gets its name when it is
# complete, for a run may be interrupted.
base_root() {
    local base=$cache/base-$1 log=$work/debootstrap.log
    [[ ! -d $base ]] || return 0
    mkdir -p "$cache"
    rm -rf --one-file-system "$base.new"
    debootstrap --variant=minbase --include=systemd,dbus,iproute2 "$1" "$base.new" \
        "$(mirror)" >"$log" 2>&1 || fail "debootstrap $1" "$log"
    mv "$base.new" "$base"
    say "$1: a base root"
}
