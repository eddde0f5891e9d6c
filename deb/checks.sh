#!/bin/bash
# What is checked inside a freshly booted system: deb/test.sh runs this there, step by
# step.  Every step ends with an error if something is not as it should be.
set -Eeuo pipefail

UNIT=rustdesk-server
DATA=/var/lib/rdserver
ORIGINAL=/var/lib/rustdesk-server
shopt -s nullglob
trap 'journalctl -u "$UNIT" --no-pager -n 20 >&2' ERR

fail() {
    echo "not as it should be: $*" >&2
    systemctl status --no-pager "$UNIT" >&2 || true
    exit 1
}

is() { [[ $1 == "$2" ]] || fail "$3 is $1, not $2"; }

apt_quietly() { apt-get -qqy --no-install-recommends "$@" >/srv/apt.log 2>&1 ||
    { tail -n 30 /srv/apt.log; fail "apt-get $*"; }; }

property() { systemctl show -P "$1" "$UNIT"; }

wait_until() {
    for _ in {1..100}; do
        ! "$@" || return 0
        sleep 0.1
    done
    fail "waited in vain for: $*"
}

active() { systemctl -q is-active "${1:-$UNIT}"; }

# A client's questions, to all ports of both roles.
answers() { rustdesk-utils doctor 127.0.0.1 >/srv/doctor.log || {
    cat /srv/doctor.log; fail "the server does not answer"; }; }

installed_kib() {
    dpkg-query -W -f='${db:Status-Status} ${Installed-Size}\n' |
        awk '$1 == "installed" { sum += $2 } END { print sum }'
}

install() {
    local before after started=$SECONDS
    before=$(installed_kib)
    apt_quietly install /srv/rustdesk-server_*.deb
    after=$(installed_kib)
    echo "installed in $((SECONDS - started)) s, $(((after - before) / 1024)) MiB"
    sed -n '/^Enter in each client/,$p' /srv/apt.log
    grep -q "Key: *$(cat $DATA/id_ed25519.pub)" /srv/apt.log || fail "the key is not shown"
}

service() {
    active || fail "the service does not run"
    is "$(property Type)" notify Type
    is "$(property User)" rustdesk-server User
    is "$(stat -c %a:%U $DATA)" 750:rustdesk-server "the data folder"
    is "$(stat -c %a:%U $DATA/id_ed25519)" 600:rustdesk-server "the key"
    is "$(stat -c %a:%G /etc/rustdesk-server/rustdesk-server.conf)" 640:rustdesk-server conf
    is "$(ps_user)" rustdesk-server "the process's user"
    is "$(awk '/^CapEff/ { print $2 }' "/proc/$(property MainPID)/status")" \
        0000000000000000 "its capabilities"
    answers
    systemctl reload "$UNIT" && active || fail "it cannot be reloaded"
    systemd-analyze verify --man=no $UNIT.service $UNIT@id.service || fail "the units"
    echo "exposure: $(systemd-analyze security --no-pager $UNIT | tail -n 1)"
    echo "start to READY: $(($(property ActiveEnterTimestampMonotonic) / 1000 -
        $(property ExecMainStartTimestampMonotonic) / 1000)) ms"
    (cd / && twistd rustdesk-server --help | grep -q -- --relay-port) || fail twistd
    (cd / && twistd3 --help | grep -q rustdesk-server) || fail twistd3
    ! journalctl -u "$UNIT" -o cat --no-pager -q | grep -E '^\S+ (warn|error|critical) ' ||
        fail "warnings in the log"
}

# As two clients: the sessions' bytes go through the installed relay.
session() {
    (cd / && PYTHONPATH=/srv python3 -B /srv/session.py $DATA)
}

ps_user() { stat -c %U "/proc/$(property MainPID)"; }

restarted() { [[ $(property NRestarts) == "$1" ]] && active; }

restart() {
    systemctl kill -s KILL "$UNIT"
    wait_until restarted 1
    # A reactor that hangs: the watchdog ends it, after two seconds here.
    mkdir -p /run/systemd/system/$UNIT.service.d
    printf '[Service]\nWatchdogSec=2\n' >/run/systemd/system/$UNIT.service.d/quick.conf
    systemctl daemon-reload
    systemctl restart "$UNIT"
    sleep 4
    is "$(property NRestarts)" 0 "the number of restarts while all is well"
    systemctl kill -s STOP "$UNIT"
    wait_until restarted 1
    journalctl -u "$UNIT" --no-pager -q | grep -q 'Watchdog timeout' || fail "no watchdog"
    rm -r /run/systemd/system/$UNIT.service.d
    systemctl daemon-reload
    systemctl restart "$UNIT"
    answers
}

key-kept() { cp $DATA/id_ed25519 /srv/key; }

after-boot() {
    active || fail "the service did not start with the system"
    cmp /srv/key $DATA/id_ed25519
    answers
}

roles() {
    systemctl start $UNIT@id $UNIT@relay
    ! active || fail "the service for both runs beside those for each"
    answers
    systemctl stop $UNIT@id $UNIT@relay
    systemctl start "$UNIT"
    answers
}

make_certificate() {
    python3 -W ignore - >"$1" <<'P'
from OpenSSL import crypto
key, cert = crypto.PKey(), crypto.X509()
key.generate_key(crypto.TYPE_RSA, 2048)
cert.get_subject().CN = "localhost"
cert.set_issuer(cert.get_subject())
cert.gmtime_adj_notBefore(0)
cert.gmtime_adj_notAfter(86400)
cert.set_pubkey(key)
cert.sign(key, "sha256")
for pem in (crypto.dump_certificate(crypto.FILETYPE_PEM, cert),
            crypto.dump_privatekey(crypto.FILETYPE_PEM, key)):
    print(pem.decode(), end="")
P
    chgrp $UNIT "$1"
    chmod 640 "$1"
}

# The drop-in as its first lines say, and an option in /etc/default.
port-443() {
    make_certificate /etc/$UNIT/test.pem
    mkdir -p /etc/systemd/system/$UNIT.service.d
    cp /usr/share/doc/$UNIT/examples/port-443.conf /etc/systemd/system/$UNIT.service.d/
    cp -a /etc/default/$UNIT /srv/default
    echo "RUSTDESK_SERVER_OPTS=\"--tls-cert=/etc/$UNIT/test.pem\"" >/etc/default/$UNIT
    systemctl daemon-reload
    systemctl restart $UNIT
    python3 -c 'import ssl; ssl.get_server_certificate(("127.0.0.1", 443))'
    echo "exposure with port 443: $(systemd-analyze security --no-pager $UNIT | tail -n 1)"
    rm -r /etc/systemd/system/$UNIT.service.d /etc/$UNIT/test.pem
    cp -a /srv/default /etc/default/$UNIT
    systemctl daemon-reload
    systemctl restart $UNIT
}

remove() {
    apt_quietly remove "$UNIT"
    cmp /srv/key $DATA/id_ed25519
    [[ ! -e /usr/bin/twistd && ! -e /usr/bin/trial ]] || fail "alternatives are left"
}

reinstall() {
    apt_quietly install /srv/rustdesk-server_*.deb
    cmp /srv/key $DATA/id_ed25519
    apt_quietly install --reinstall /srv/rustdesk-server_*.deb
    wait_until active
    answers
}

purge() {
    apt_quietly purge "$UNIT"
    local archives=(/var/backups/rustdesk-server-*.tar.gz)
    is ${#archives[@]} 1 "the number of archives"
    is "$(stat -c %a "${archives[0]}")" 600 "the archive's mode"
    tar -xOf "${archives[0]}" id_ed25519 | cmp - /srv/key
    grep -q "${archives[0]}" /srv/apt.log || fail "the archive is not named"
    local left
    left=$(find / -xdev \( -name '*rustdesk*' -o -name '*rdserver*' \) \
        -not -path '/srv/*' -not -path '/var/log/*' -not -path '/var/cache/apt/*' \
        -not -path '/proc/*' -not -path "${archives[0]}")
    is "$left" "" "what is left"
}

# A package that is the original's to dpkg: its name, its unit, its folder, its purge.
make_original() {
    local tree=/srv/original
    mkdir -p $tree/DEBIAN $tree/lib/systemd/system
    printf '%s\n' 'Package: rustdesk-server-hbbs' 'Version: 1.1.17' 'Architecture: all' \
        'Maintainer: nobody <nobody@example.org>' 'Description: stand-in' \
        >$tree/DEBIAN/control
    printf '%s\n' '[Service]' 'ExecStart=/usr/bin/python3 -m http.server 21116' \
        '[Install]' 'WantedBy=multi-user.target' \
        >$tree/lib/systemd/system/rustdesk-hbbs.service
    printf '#!/bin/sh\nsystemctl daemon-reload\nsystemctl enable --now rustdesk-hbbs\n' \
        >$tree/DEBIAN/postinst
    printf '#!/bin/sh\nsystemctl stop rustdesk-hbbs\n' >$tree/DEBIAN/prerm
    printf '#!/bin/sh\n[ "$1" != purge ] || rm -rf %s\n' $ORIGINAL >$tree/DEBIAN/postrm
    chmod 755 $tree/DEBIAN/p*
    dpkg-deb --build $tree /srv/original.deb >/dev/null
}

fill_original() {
    mkdir -p $ORIGINAL
    cp /srv/key $ORIGINAL/id_ed25519
    echo 192.0.2.1 >$ORIGINAL/blacklist.txt
    # Killed, so that its last row is in the write-ahead log alone.
    python3 - $ORIGINAL/db_v2.sqlite3 <<'P'
import os, sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("PRAGMA journal_mode = WAL")
db.execute("CREATE TABLE peer (guid blob PRIMARY KEY NOT NULL, id varchar(100) NOT NULL,"
           " uuid blob NOT NULL, pk blob NOT NULL, created_at datetime NOT NULL DEFAULT"
           " (current_timestamp), user blob, status tinyint, note varchar(300),"
           " info text NOT NULL) WITHOUT ROWID")
db.execute("INSERT INTO peer (guid, id, uuid, pk, info) VALUES (x'01', '123456789',"
           " x'02', x'03', '{}')")
os._exit(0)
P
    [[ -s $ORIGINAL/db_v2.sqlite3-wal ]] || fail "the stand-in has no log"
}

original() {
    make_original
    fill_original
    apt_quietly install /srv/original.deb
    wait_until active rustdesk-hbbs
    local before
    before=$(cd $ORIGINAL && md5sum id_ed25519 blacklist.txt db_v2.sqlite3*[!m])
    apt_quietly install /srv/rustdesk-server_*.deb
    wait_until active
    answers
    cmp /srv/key $DATA/id_ed25519
    cmp $ORIGINAL/blacklist.txt $DATA/blacklist.txt
    is "$(stat -c %a:%U $DATA/id_ed25519)" 600:rustdesk-server "the copied key"
    is "$(python3 -c "import sqlite3
print(sqlite3.connect('$DATA/db_v2.sqlite3').execute('SELECT id FROM peer').fetchone()[0])")" \
        123456789 "the device in the copy"
    is "$(cd $ORIGINAL && md5sum id_ed25519 blacklist.txt db_v2.sqlite3*[!m])" "$before" \
        "the original's folder"
    # Back to it, forward again, and then its purge must not reach ours.
    apt_quietly install /srv/original.deb
    wait_until active rustdesk-hbbs
    ! dpkg -s "$UNIT" 2>/dev/null | grep -q '^Status:.* installed' || fail "both installed"
    apt_quietly install /srv/rustdesk-server_*.deb
    apt_quietly purge rustdesk-server-hbbs
    [[ ! -e $ORIGINAL ]] || fail "the stand-in's purge did not delete its folder"
    cmp /srv/key $DATA/id_ed25519
    wait_until active
    answers
}

"$1"
echo "  $1: as it should be"
