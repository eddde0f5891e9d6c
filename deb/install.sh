#!/bin/bash
# Installs rustdesk-server on this machine, or upgrades it: see --help.
set -euo pipefail
export LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive PATH=$PATH:/usr/sbin:/sbin

usage() {
    cat <<'HELP'
install.sh [FILE]

Installs the Debian package of rustdesk-server, or upgrades it, on Debian 12 or newer or
on a distribution made from that. FILE is the package; without it that is the newest
rustdesk-server_*_all.deb in the script's own folder, or else in ../dist.

As root. What the package needs is fetched by apt-get. Settings that were changed are
kept. No firewall is touched: the script ends with the ports that must be open, and with
what to enter in the clients. To run it once more does no harm.
HELP
}

SERVICE=rustdesk-server
USUAL_PORTS='21115/tcp, 21116/tcp, 21117/tcp, 21118/tcp, 21119/tcp, 21116/udp'

say() { echo "install.sh: $*"; }

refuse() {
    say "$@" >&2
    exit 1
}

log=$(mktemp)
trap 'rm -f "$log"' EXIT

# of_system NAME: what /etc/os-release says.
of_system() { sed -nE "s/^$1=\"?([^\"]*)\"?\$/\1/p" /etc/os-release 2>/dev/null; }

# A distribution made from Debian has a version of its own, and names Debian's in
# /etc/debian_version, which for an unreleased one is no number.
check_system() {
    local name version
    name=$(of_system PRETTY_NAME)
    [[ " $(of_system ID) $(of_system ID_LIKE) " == *' debian '* ]] ||
        refuse "this needs Debian 12 or newer, or a distribution made from it; here is" \
            "${name:-another system}"
    version=$(cat /etc/debian_version 2>/dev/null) || true
    version=${version%%.*}
    [[ ! $version =~ ^[0-9]+$ ]] || (( version >= 12 )) ||
        refuse "this needs Debian 12 or newer; here is ${name:-Debian $version}"
    [[ -d /run/systemd/system ]] || refuse "this needs systemd, which does not run here"
    (( EUID == 0 )) || refuse "this must be run as root"
}

version_of() { dpkg-deb --field "$1" Version; }

# Sets file to the newest package in the first folder that has any.
find_file() {
    local here found=()
    here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
    shopt -s nullglob
    found=("$here"/rustdesk-server_*_all*.deb)
    (( ${#found[@]} )) || found=("$here"/../dist/rustdesk-server_*_all*.deb)
    shopt -u nullglob
    (( ${#found[@]} )) ||
        refuse "there is no rustdesk-server_*_all.deb in $here or ../dist: name the file"
    choose "${found[@]}"
}

# Of two files with the same version it cannot be known which one is meant.
choose() {
    local candidate twin=''
    file=$1
    shift
    for candidate; do
        if dpkg --compare-versions "$(version_of "$candidate")" gt "$(version_of "$file")"; then
            file=$candidate twin=''
        elif dpkg --compare-versions "$(version_of "$candidate")" eq "$(version_of "$file")" &&
            ! cmp -s "$candidate" "$file"; then
            twin=$candidate
        fi
    done
    [[ -z $twin ]] || refuse "$file and $twin have the same version: name the one to install"
}

check_file() {
    [[ -f $file ]] || refuse "$file: there is no such file"
    [[ $(dpkg-deb --field "$file" Package 2>"$log") == "$SERVICE" ]] ||
        refuse "$file is not the package $SERVICE"
    file=$(realpath "$file")
}

installed_version() {
    dpkg-query -W -f='${db:Status-Status} ${Version}' "$SERVICE" 2>/dev/null |
        sed -n 's/^installed //p'
}

apt_get() {
    apt-get -qqy --no-install-recommends -o DPkg::Lock::Timeout=300 \
        -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold "$@" \
        </dev/null >"$log" 2>&1
}

# What the package replaces is removed by apt; nobody shall be surprised.
tell_replaced() {
    local name
    for name in rustdesk-server-hbbs rustdesk-server-hbbr rustdesk-server-utils; do
        [[ $(dpkg-query -W -f='${db:Status-Status}' "$name" 2>/dev/null) != installed ]] ||
            say "it takes the place of $name, whose data is copied and left as it is"
    done
}

install_file() {
    local version old
    version=$(version_of "$file")
    old=$(installed_version) || true
    if [[ -n $old ]] && dpkg --compare-versions "$old" gt "$version"; then
        refuse "$old is installed, which is newer than $file; to go back:" \
            "apt-get install --allow-downgrades $file"
    elif [[ $old == "$version" ]]; then
        say "$SERVICE $version is installed already"
        return
    fi
    say "installing $SERVICE $version${old:+ in the place of $old}"
    tell_replaced
    apt_get update || say "the lists of packages could not be renewed; going on with the old ones"
    apt_get install "$file" || {
        tail -n 30 "$log" >&2
        refuse "apt-get could not install $file"
    }
}

# Sets ports to what the server's settings say, as "21115/tcp, 21116/tcp" and so on, and
# clients to all that is to be known of it.
ask_package() {
    clients=$(rustdesk-utils client-config 2>&1) || true
    ports=$(sed -n 's/^Ports to open: //p' <<<"$clients")
    ports=${ports:-$USUAL_PORTS}
}

# of_protocol NAME [SEPARATOR]: the ports of tcp or udp.
of_protocol() { grep -oE "[0-9]+/$1" <<<"$ports" | cut -d/ -f1 | paste -sd "${2:-,}"; }

# Names whoever else listens on the server's ports.
tell_taken() {
    command -v ss >/dev/null || return 0
    local protocol address users port told=' '
    while read -r protocol _ _ _ address _ users; do
        port=${address##*:}/$protocol
        if [[ ", $ports," == *", $port,"* && $told != *" $port "* ]] && ! is_ours "$users"; then
            say "port $port is taken by $(name_of "$users"). Stop that, or choose another" \
                "port in /etc/$SERVICE/$SERVICE.conf"
            told+="$port "
        fi
    done < <(ss -Hlntup)
}

# is_ours USERS, of which ss shows users:(("python3",pid=12,fd=3)).  Process 1 holds the
# ports of socket units.
is_ours() {
    local pid
    while read -r pid; do
        [[ $pid != 1 && $(stat -c %U "/proc/$pid" 2>/dev/null) != "$SERVICE" ]] || return 0
    done < <(grep -oE 'pid=[0-9]+' <<<"$1" | cut -d= -f2)
    return 1
}

name_of() {
    local name
    name=$(sed -nE 's/.*\(\("([^"]*)",pid=([0-9]+).*/\1 (process \2)/p' <<<"$1")
    echo "${name:-another program}"
}

# The commands for the firewall that is active, of which none is run.
tell_firewall() {
    local tcp udp
    tcp=$(of_protocol tcp) udp=$(of_protocol udp)
    say "ports that clients must reach: $ports. Nothing was opened here. A firewall in" \
        "front of this machine must let them through too."
    if LC_ALL=C ufw status 2>/dev/null | grep -x 'Status: active' >/dev/null; then
        say "ufw is active here. These commands open the ports:"
        echo "  ufw allow $tcp/tcp"
        [[ -z $udp ]] || echo "  ufw allow $udp/udp"
    elif [[ $(firewall-cmd --state 2>/dev/null) == running ]]; then
        say "firewalld is active here. These commands open the ports:"
        echo "  firewall-cmd --permanent" \
            "$(grep -oE '[0-9]+/(tcp|udp)' <<<"$ports" | sed 's/^/--add-port=/' | paste -sd ' ')"
        echo "  firewall-cmd --reload"
    else
        tell_nftables "$tcp" "$udp"
    fi
}

# Each chain for what comes in that drops or rejects something, as "inet filter input".
closed_chains() {
    nft list ruleset 2>/dev/null | awk '
        $1 == "table" { table = $2 " " $3 }
        $1 == "chain" { chain = $2; hooked = closed = 0 }
        / hook input / { hooked = 1 }
        / policy drop|(^|[ \t])(drop|reject)( |$)/ { closed = 1 }
        $1 == "}" && chain { if (hooked && closed) print table, chain; chain = "" }'
}

tell_nftables() {
    local chains chain
    chains=$(closed_chains) || true
    [[ -n $chains ]] || return 0
    say "nftables is active here. These commands open the ports until the next start; to" \
        "keep them open add the rules to /etc/nftables.conf:"
    while read -r chain; do
        echo "  nft insert rule $chain tcp dport '{ ${1//,/, } }' accept"
        [[ -z $2 ]] || echo "  nft insert rule $chain udp dport '{ ${2//,/, } }' accept"
    done <<<"$chains"
}

# The service for both roles, or one for a single role.
is_running() {
    systemctl list-units --plain --no-legend --state=active \
        "$SERVICE.service" "$SERVICE@*.service" | grep . >/dev/null
}

case ${1:-} in
-h | --help)
    usage
    exit
    ;;
-*) refuse "$1: there is no such option; see --help" ;;
esac
(( $# <= 1 )) || refuse "one file can be installed, not $#; see --help"
check_system
if (( $# )); then file=$1; else find_file; fi
check_file
install_file
ask_package
tell_taken
tell_firewall
echo "$clients"
is_running || refuse "$SERVICE is installed, but does not run. To see why:" \
    "journalctl -u $SERVICE -u '$SERVICE@*' -n 20"
