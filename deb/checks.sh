#!/bin/bash
# What is checked inside a freshly booted system: deb/test.sh runs this there, step by
# step.  Every step ends with an error if something is not as it should be.
set -Eeuo pipefail

UNIT=rustdesk-server
DATA=/var/lib/rdserver
ORIGINAL=/var/lib/rustdesk-server
SETTINGS=/etc/$UNIT
CONFIG=$SETTINGS/$UNIT.conf
DEB=/srv/rustdesk-server.deb
NEWER=/srv/newer.deb
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

active() { systemctl -q is-active "$1"; }

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
    apt_quietly install $DEB
    after=$(installed_kib)
    echo "installed in $((SECONDS - started)) s, $(((after - before) / 1024)) MiB"
    sed -n '/^Enter in each client/,$p' /srv/apt.log
    grep -q "Key: *$(cat $DATA/id_ed25519.pub)" /srv/apt.log || fail "the key is not shown"
}

service() {
    active "$UNIT" || fail "the service does not run"
    is "$(property Type)" notify Type
    is "$(property User)" rustdesk-server User
    is "$(stat -c %a:%U $DATA)" 750:rustdesk-server "the data folder"
    is "$(stat -c %a:%U $DATA/id_ed25519)" 600:rustdesk-server "the key"
    is "$(stat -c %a:%G $CONFIG)" 640:rustdesk-server conf
    is "$(stat -c %a:%G /etc/default/$UNIT)" 640:rustdesk-server "/etc/default"
    is "$(ps_user)" rustdesk-server "the process's user"
    is "$(awk '/^CapEff/ { print $2 }' "/proc/$(property MainPID)/status")" \
        0000000000000000 "its capabilities"
    answers
    systemctl reload "$UNIT"
    active "$UNIT" || fail "it did not survive to be reloaded"
    systemd-analyze verify --man=no $UNIT.service $UNIT@id.service || fail "the units"
    echo "exposure: $(systemd-analyze security --no-pager $UNIT | tail -n 1)"
    echo "start to READY: $(($(property ActiveEnterTimestampMonotonic) / 1000 -
        $(property ExecMainStartTimestampMonotonic) / 1000)) ms"
    (cd / && twistd rustdesk-server --help | grep -- --relay-port >/dev/null) || fail twistd
    (cd / && twistd3 --help | grep rustdesk-server >/dev/null) || fail twistd3
    (cd / && rustdesk-utils healthcheck) || fail "the health check"
    ! journalctl -u "$UNIT" -p warning -o cat --no-pager -q | grep . ||
        fail "warnings in the log"
    journalctl -u "$UNIT" -p info -o cat --no-pager -q |
        grep '^rustdesk-server .* is ready' >/dev/null ||
        fail "the log has the time twice, or no levels"
}

# As two clients: the sessions' bytes go through the installed relay.
session() {
    (cd / && PYTHONPATH=/srv python3 -B /srv/session.py $DATA)
}

ps_user() { stat -c %U "/proc/$(property MainPID)"; }

restarted() { [[ $(property NRestarts) == "$1" ]] && active "$UNIT"; }

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
    journalctl -u "$UNIT" --no-pager -q | grep 'Watchdog timeout' >/dev/null || fail "no watchdog"
    rm -r /run/systemd/system/$UNIT.service.d
    systemctl daemon-reload
    systemctl restart "$UNIT"
    answers
}

failed() { systemctl -q is-failed "$UNIT"; }

# It ends with a sentence, and is not started again and again.
wrong-setting() {
    cp -a $CONFIG /srv/config
    echo port=nonsense >>$CONFIG
    ! systemctl restart "$UNIT" 2>/dev/null || fail "it runs with a wrong setting"
    wait_until failed
    sleep 3
    is "$(property ActiveState)" failed "the state after a while"
    is "$(property NRestarts)" 0 "the number of restarts"
    is "$(property ExecMainStatus)" 78 "the exit status"
    journalctl -u "$UNIT" -o cat --no-pager -n 10 | grep 'port.*nonsense' >/dev/null ||
        fail "the log does not say what is wrong"
    cp -a /srv/config $CONFIG
    # Nor is what is found wrong later: this file is not there.
    echo access-file=/nowhere >>$CONFIG
    ! systemctl restart "$UNIT" 2>/dev/null || fail "it runs without its access file"
    wait_until failed
    is "$(property ExecMainStatus)" 78 "the exit status"
    cp -a /srv/config $CONFIG
    systemctl restart "$UNIT"
    answers
}

key-kept() { cp $DATA/id_ed25519 /srv/key; }

after-boot() {
    active "$UNIT" || fail "the service did not start with the system"
    cmp /srv/key $DATA/id_ed25519
    answers
}

roles() {
    systemctl start $UNIT@id $UNIT@relay
    ! active "$UNIT" || fail "the service for both runs beside those for each"
    answers
    systemctl stop $UNIT@id $UNIT@relay
    # With the sockets of both.
    systemctl start $UNIT@id.socket $UNIT@relay.socket
    systemctl start $UNIT@id $UNIT@relay
    answers
    systemctl stop $UNIT@id.socket $UNIT@relay.socket $UNIT@id $UNIT@relay
    # The commands know which role is enabled alone.
    systemctl -q disable $UNIT
    systemctl -q enable --now $UNIT@relay
    wait_until rustdesk-utils healthcheck
    rustdesk-utils client-config | grep '^Ports to open: 21117/tcp, 21119/tcp$' >/dev/null ||
        fail "client-config does not know the role"
    systemctl -q disable --now $UNIT@relay
    systemctl -q enable --now "$UNIT"
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

# Asks a relay and an ID server, again and again for four seconds, each within five.
ask_without_end() {
    python3 - <<'P'
import socket, time
end = time.monotonic() + 4
while time.monotonic() < end:
    for port in 21116, 21117:
        with socket.create_connection(("127.0.0.1", port), 5) as connection:
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(99):
                pass
    time.sleep(0.01)
P
}

socket_gave_up() { knock || true; systemctl -q is-failed $UNIT.socket; }

knock() { (echo >/dev/tcp/127.0.0.1/21117) 2>/dev/null; }

# As docs/package.md says.
sockets() {
    systemctl stop $UNIT
    systemctl -q enable --now $UNIT.socket
    systemctl start $UNIT
    answers
    ask_without_end &
    systemctl restart $UNIT
    wait $! || fail "a restart refused somebody"
    is "$(systemctl show -P NAccepted $UNIT.socket)" 0 "what systemd accepted itself"
    cp -a $CONFIG /srv/config
    echo relay-port=22117 >>$CONFIG
    ! systemctl restart $UNIT 2>/dev/null || fail "it starts with a socket for no port of its"
    journalctl -u $UNIT -o cat --no-pager -n 20 | grep 'opened TCP port 21117' >/dev/null ||
        fail "the log does not name the port"
    # Whoever connects cannot have it started again and again.
    wait_until socket_gave_up
    is "$(systemctl show -P Result $UNIT.socket)" trigger-limit-hit "why the sockets failed"
    cp -a /srv/config $CONFIG
    systemctl start $UNIT.socket
    systemctl restart $UNIT
    answers
    systemctl stop $UNIT
    systemctl -q disable --now $UNIT.socket
    systemctl start $UNIT
    answers
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

# The same package with a higher version, another program and another settings file.
make_newer() {
    local tree=/srv/newer
    dpkg-deb -R $DEB $tree
    sed -i 's/^Version: .*/Version: 99/' $tree/DEBIAN/control
    sed -i 's/^__version__ = .*/__version__ = "99"/' \
        $tree/usr/lib/python3/dist-packages/rdserver/__init__.py
    echo '# newer' >>$tree$CONFIG
    dpkg-deb --build $tree $NEWER >/dev/null
    rm -r $tree
}

# runs_version VERSION UNIT...: they run, and what they run is of that version.
runs_version() {
    local version=$1 unit
    shift
    for unit; do
        wait_until active "$unit"
        journalctl -o cat --no-pager -q \
            _SYSTEMD_INVOCATION_ID="$(systemctl show -P InvocationID "$unit")" |
            grep -F "rustdesk-server $version is ready" >/dev/null || fail "$unit is not of $version"
    done
}

our_version() { dpkg-deb -f $DEB Version | tr '~' .; }

upgrade() {
    make_newer
    echo '# mine' >>/etc/default/$UNIT
    apt_quietly install $NEWER
    runs_version 99 $UNIT
    is "$(tail -n 1 /etc/default/$UNIT)" '# mine' "the changed file's last line"
    is "$(tail -n 1 $CONFIG)" '# newer' "the unchanged file's last line"
    is "$(stat -c %a:%G $CONFIG)" 640:rustdesk-server "the new file's mode"
    answers
}

downgrade() {
    apt_quietly install --allow-downgrades $DEB
    runs_version "$(our_version)" $UNIT
    is "$(tail -n 1 /etc/default/$UNIT)" '# mine' "the changed file's last line"
    ! grep -qx '# newer' $CONFIG || fail "the unchanged file is not the old one again"
    cmp /srv/key $DATA/id_ed25519
    answers
}

# What runs by role in the place of the service for both is restarted likewise.
instances() {
    systemctl -q disable --now $UNIT
    systemctl -q enable --now $UNIT@id $UNIT@relay
    apt_quietly install $NEWER
    runs_version 99 $UNIT@id $UNIT@relay
    apt_quietly install --allow-downgrades $DEB
    runs_version "$(our_version)" $UNIT@id $UNIT@relay
    ! active "$UNIT" || fail "the disabled service was started"
    systemctl stop $UNIT@id
    systemctl -q disable $UNIT@id
    apt_quietly install $NEWER
    apt_quietly install --allow-downgrades $DEB
    runs_version "$(our_version)" $UNIT@relay
    ! active "$UNIT@id" || fail "an instance that was stopped and disabled was started"
}

listening() { ss -Hltun | grep -E ':2111[5-9] ' >/dev/null; }

# It runs by role when this begins.
remove() {
    apt_quietly remove "$UNIT"
    ! listening || fail "something still listens"
    cmp /srv/key $DATA/id_ed25519
    [[ ! -e /usr/bin/twistd && ! -e /usr/bin/trial ]] || fail "alternatives are left"
}

reinstall() {
    apt_quietly install $DEB
    cmp /srv/key $DATA/id_ed25519
    runs_version "$(our_version)" $UNIT@relay
    systemctl -q disable --now $UNIT@relay
    systemctl -q enable --now $UNIT
    apt_quietly install --reinstall $DEB
    wait_until active "$UNIT"
    answers
}

# left_after_purge ARCHIVE...: what else has our name.  The stand-in leaves a link.
left_after_purge() {
    find / -xdev \( -name '*rustdesk*' -o -name '*rdserver*' \) \
        -not -name rustdesk-hbbs.service -not -path '/srv/*' -not -path '/var/log/*' \
        -not -path '/var/cache/apt/*' -not -path '/proc/*' |
        grep -vxF "$(printf '%s\n' "$@")" || true
}

find_archives() { archives=(/var/backups/rustdesk-server-*.tar.gz); }

# With an instance enabled, and with a file of the administrator's among the settings.
purge() {
    systemctl -q enable $UNIT@relay
    touch $SETTINGS/mine.pem
    mkdir $SETTINGS/tls
    touch $SETTINGS/tls/{fullchain,privkey,mine}.pem
    apt_quietly purge "$UNIT"
    find_archives
    is ${#archives[@]} 1 "the number of archives"
    is "$(stat -c %a "${archives[0]}")" 600 "the archive's mode"
    tar -xOf "${archives[0]}" id_ed25519 | cmp - /srv/key
    grep -q "kept in ${archives[0]}: id_ed25519 id_ed25519.pub db_v2.sqlite3" \
        /srv/apt.log || fail "the archive is not named"
    is "$(left_after_purge "${archives[@]}")" $SETTINGS "what is left"
    is "$(cd $SETTINGS && echo * tls/*)" "mine.pem tls tls/mine.pem" "what is left there"
    rm -r $SETTINGS
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
    printf '#!/bin/sh\n[ "%s" != purge ] || rm -rf %s\n' "\$1" $ORIGINAL \
        >$tree/DEBIAN/postrm
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

devices() {
    python3 -c 'import sqlite3, sys
for id, in sqlite3.connect(sys.argv[1]).execute("SELECT id FROM peer"): print(id)' "$1"
}

original() {
    make_original
    fill_original
    apt_quietly install /srv/original.deb
    wait_until active rustdesk-hbbs
    local before
    before=$(cd $ORIGINAL && md5sum id_ed25519 blacklist.txt db_v2.sqlite3*[!m])
    # As it is now it cannot be copied, so nothing is started: no client knows a new key.
    mkdir /srv/database
    mv $ORIGINAL/db_v2.sqlite3* /srv/database/
    echo rubbish >$ORIGINAL/db_v2.sqlite3
    ! apt-get -qqy --no-install-recommends install $DEB >/srv/apt.log 2>&1 ||
        fail "it does without the database"
    grep -q 'that failed, so nothing is started.*dpkg --configure' /srv/apt.log ||
        { cat /srv/apt.log; fail "it does not say what to do"; }
    ! active "$UNIT" || fail "it runs without the original's key"
    [[ ! -e $DATA/id_ed25519 ]] || fail "there is a key"
    mv /srv/database/* $ORIGINAL/
    dpkg --configure $UNIT >/srv/apt.log 2>&1 || { cat /srv/apt.log; fail configure; }
    wait_until active "$UNIT"
    answers
    cmp /srv/key $DATA/id_ed25519
    cmp $ORIGINAL/blacklist.txt $DATA/blacklist.txt
    is "$(stat -c %a:%U $DATA/id_ed25519)" 600:rustdesk-server "the copied key"
    is "$(devices $DATA/db_v2.sqlite3)" 123456789 "the device in the copy"
    is "$(cd $ORIGINAL && md5sum id_ed25519 blacklist.txt db_v2.sqlite3*[!m])" "$before" \
        "the original's folder"
    # Back to it, forward again, and then its purge must not reach ours.
    apt_quietly install /srv/original.deb
    wait_until active rustdesk-hbbs
    ! dpkg -s "$UNIT" 2>/dev/null | grep '^Status:.* installed' >/dev/null || fail "both installed"
    # Who has emptied the folder meanwhile gets the state once more.
    mkdir /srv/away
    mv $DATA/id_ed25519* $DATA/db_v2.sqlite3* /srv/away/
    apt_quietly install $DEB
    cmp /srv/key $DATA/id_ed25519
    apt_quietly purge rustdesk-server-hbbs
    [[ ! -e $ORIGINAL ]] || fail "the stand-in's purge did not delete its folder"
    cmp /srv/key $DATA/id_ed25519
    wait_until active "$UNIT"
    answers
}

# With --key TEXT there is no key pair, but there are devices in the database.
purge-database() {
    systemctl stop $UNIT
    rm $DATA/id_ed25519*
    echo key=secret >>$CONFIG
    systemctl start $UNIT
    [[ ! -e $DATA/id_ed25519 ]] || fail "it made a key pair"
    apt_quietly purge "$UNIT"
    find_archives
    is ${#archives[@]} 2 "the number of archives"
    tar -xf "${archives[1]}" -C /srv db_v2.sqlite3
    is "$(devices /srv/db_v2.sqlite3)" 123456789 "the device in the archive"
    is "$(left_after_purge "${archives[@]}")" "" "what is left"
}

VPS=/srv/vps
FAKES=/srv/fakes

script() { bash $VPS/install.sh "$@" >/srv/script.log 2>&1 </dev/null; }

says() { grep -qE -- "$1" /srv/script.log || { cat /srv/script.log; fail "it does not say: $1"; }; }

# refuses SENTENCE COMMAND...
refuses() {
    local sentence=$1
    shift
    ! "$@" || fail "it did not refuse: $sentence"
    says "$sentence"
}

# What it says elsewhere, and to others.
script_refuses() {
    refuses 'there is no rustdesk-server_\*_all.deb in ' script
    refuses 'there is no such file' script /srv/none.deb
    refuses 'is not the package' script /srv/original.deb
    refuses 'no such option' script --purge
    refuses 'as root' script_of_nobody
    printf 'ID=fedora\nPRETTY_NAME="Fedora Linux 41"\n' >$VPS/os-release
    refuses 'Debian 12 or newer.*here is Fedora Linux 41' pretending /etc/os-release os-release
    echo 11.9 >$VPS/debian_version
    refuses 'Debian 12 or newer; here is Debian' pretending /etc/debian_version debian_version
}

script_of_nobody() { setpriv --reuid=nobody bash $VPS/install.sh >/srv/script.log 2>&1; }

# pretending FILE OTHER: with that other file in the place of a file of the system.
pretending() {
    unshare -m bash -c "mount --bind $VPS/$2 $1; VPS=$VPS; $(declare -f script); script"
}

# Firewalls that are only names here.
script_tells_firewall() {
    mkdir $FAKES
    printf '#!/bin/sh\necho Status: active\n' >$FAKES/ufw
    chmod 755 $FAKES/ufw
    PATH=$FAKES:$PATH script
    says '^  ufw allow 21115,21116,21117,21118,21119/tcp$'
    says '^  ufw allow 21116/udp$'
    rm $FAKES/ufw
    printf '#!/bin/sh\necho running\n' >$FAKES/firewall-cmd
    chmod 755 $FAKES/firewall-cmd
    PATH=$FAKES:$PATH script
    says '^  firewall-cmd --permanent --add-port=21115/tcp .*--add-port=21116/udp$'
    rm $FAKES/firewall-cmd
    printf '#!/bin/sh\ncat %s/ruleset\n' $VPS >$FAKES/nft
    chmod 755 $FAKES/nft
    printf '%s\n' 'table inet filter {' 'chain input {' \
        'type filter hook input priority filter; policy drop;' 'tcp dport 22 accept' '}' \
        'chain output {' 'type filter hook output priority filter; policy drop;' '}' '}' \
        >$VPS/ruleset
    PATH=$FAKES:$PATH script
    says "^  nft insert rule inet filter input tcp dport '\{ 21115, .* 21119 \}' accept$"
    says "^  nft insert rule inet filter input udp dport '\{ 21116 \}' accept$"
    ! grep -q ' output ' /srv/script.log || fail "it opens what goes out"
    rm -r $FAKES
}

script_names_who_has_a_port() {
    systemctl stop $UNIT
    systemd-run -q --unit=other python3 -m http.server 21118
    wait_until listening
    systemctl start $UNIT || true
    refuses 'port 21118/tcp is taken by python3 \(process' script
    says 'does not run. To see why: journalctl'
    systemctl stop other
    wait_until active $UNIT
}

# From next to nothing: what the package depends on is gone as well.
install-script() {
    apt_quietly autoremove --purge
    mkdir $VPS
    cp /srv/install.sh $VPS/
    script --help
    says '^install.sh \[FILE\]'
    script_refuses
    cp $DEB $VPS/rustdesk-server_2_all.deb
    script || { cat /srv/script.log; fail "install.sh"; }
    cat /srv/script.log
    wait_until active $UNIT
    answers
    grep -qF "$(cat $DATA/id_ed25519.pub)" /srv/script.log || fail "the key is not shown"
    script
    says 'is installed already'
    script_tells_firewall
    script_names_who_has_a_port
    echo '# mine' >>$CONFIG
    cp $NEWER $VPS/rustdesk-server_99_all.deb
    script
    says 'installing rustdesk-server 99 in the place of 2'
    runs_version 99 $UNIT
    is "$(tail -n 1 $CONFIG)" '# mine' "the changed file's last line"
    refuses 'is newer than .*allow-downgrades' script $DEB
    (cat $NEWER; echo) >"$VPS/rustdesk-server_99_all (1).deb"
    refuses 'have the same version' script
}

"$1"
echo "  $1: as it should be"
