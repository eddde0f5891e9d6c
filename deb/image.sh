#!/bin/bash
# Tests the container image: builds deb/Dockerfile with buildah, on a base of its own for
# which no registry is needed, and runs it with podman and runc as strictly as it can be
# run: no network, nothing writable, no capabilities. As root, with buildah, podman, runc
# and debootstrap; hadolint and docker-compose are used where they are.
# DEB_TEST_CACHE is a folder in which base roots are kept from one run to the next.
set -euo pipefail
cd "$(dirname "$0")/.."
. deb/roots.sh
export LC_ALL=C.UTF-8 PATH=$PWD/.venv/bin:$PATH:/usr/sbin:/sbin
unset PYTHONPATH PYTHONHOME
work=$(mktemp -d /tmp/image-test.XXXXXX)
cache=${DEB_TEST_CACHE:-$work/cache}
storage=(--root "$work/storage" --runroot "$work/run" --storage-driver vfs)
IMAGE=localhost/rustdesk-server
BASE=docker.io/library/debian:bookworm-slim
UID_IN_IMAGE=10001
export TMPDIR=$work
result=FAILED passed=0

pod() {
    timeout 60 podman "${storage[@]}" --tmpdir "$work/tmp" --runtime runc \
        --cgroup-manager=cgroupfs --events-backend=file "$@"
}

# The storage is of this run alone, so all its containers are ours.
clean_up() {
    pod rm --all --force --time 1 >/dev/null 2>&1 || true
    find /sys/fs/cgroup -depth -type d -path '*/libpod_parent*' -exec rmdir {} + 2>/dev/null ||
        true
    awk -v work="$work/" 'index($5, work) == 1 { print $5 }' /proc/self/mountinfo | sort -r |
        xargs -r umount 2>/dev/null || true
    rm -rf --one-file-system "$work"
    tell_result
}
trap clean_up EXIT

mkdir "$work"/{lower,upper,steps,merged}
# Far quicker than copies of the whole image, where the kernel can and may do it.
if mount -t overlay -o "lowerdir=$work/lower,upperdir=$work/upper,workdir=$work/steps" \
    overlay "$work/merged" 2>/dev/null; then
    umount "$work/merged"
    storage[5]=overlay
fi

fail() {
    echo "not passed: $*" >&2
    tail -n 20 "$work/last" >&2 || true
    exit 1
}

is() { [[ $1 == "$2" ]] || fail "$3 is $1, not $2"; }

# As close to Debian's own image as it gets: what booting needs is not in that.
base() {
    local container
    base_root bookworm
    cp -a "$cache/base-bookworm" "$work/base"
    env -i PATH="$PATH" DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8 chroot "$work/base" \
        apt-get -qqy purge --autoremove systemd dbus iproute2 >"$work/last" 2>&1 ||
        fail "the base"
    rm -rf "$work"/base/usr/share/{doc,man,locale}/* "$work"/base/var/cache/apt/*.bin \
        "$work"/base/var/cache/apt/archives/*.deb "$work"/base/var/lib/apt/lists/*
    container=$(buildah "${storage[@]}" from scratch)
    tar -C "$work/base" -cf "$work/base.tar" .
    buildah "${storage[@]}" add "$container" "$work/base.tar" / >/dev/null
    buildah "${storage[@]}" commit --quiet --rm "$container" "$BASE" >/dev/null
    rm -rf --one-file-system "$work/base" "$work/base.tar"
}

build() {
    if ! compgen -G 'dist/rustdesk-server_*_all.deb' >/dev/null; then make deb; fi
    buildah "${storage[@]}" bud --isolation chroot --pull-never --format docker \
        --file deb/Dockerfile --tag "$IMAGE" . >"$work/last" 2>&1 || fail build
    local whole base
    whole=$(pod image inspect --format '{{.Size}}' "$IMAGE")
    base=$(pod image inspect --format '{{.Size}}' "$BASE")
    say "built: $((whole / 1000000)) MB, $(((whole - base) / 1000000)) MB of them ours"
    mapfile -t health < <(pod image inspect "$IMAGE" | python3 -c '
import json, sys
test = json.load(sys.stdin)[0]["Healthcheck"]["Test"]
assert test[0] == "CMD", test
print("\n".join(test[1:]))')
}

# For a moment, in the foreground.
once() {
    pod run --rm --no-healthcheck --cgroups=no-conmon --ulimit nofile=20000:20000 \
        --ulimit nproc=4096:4096 --network=none --read-only --cap-drop=ALL "$IMAGE" "$@"
}

# run NAME [podman's options] IMAGE [words]: in the background.
run() {
    pod run --detach --no-healthcheck --cgroups=no-conmon --ulimit nofile=20000:20000 \
        --ulimit nproc=4096:4096 --network="${network:-none}" --read-only \
        --read-only-tmpfs=false --security-opt=no-new-privileges --name "$@" \
        >"$work/last" 2>&1 || fail "run $1"
}

# As strictly as it can be run.
strictly() { run "$1" --cap-drop=ALL "${@:2}"; }

healthy() { pod exec "$1" "${health[@]}" "${@:2}" >"$work/last" 2>&1; }

wait_for() {
    local tries
    for tries in {1..50}; do
        ! healthy "$1" || return 0
        sleep 0.2
    done
    pod logs "$1" >>"$work/last" 2>&1
    fail "$1 is not healthy after $tries attempts"
}

# Into a file first: whoever finds a line early would break the pipe.
logged() {
    pod logs "$1" >"$work/last" 2>&1
    grep -qF -- "$2" "$work/last" || fail "$1 does not say: $2"
}

# Stops it in an orderly way, or it does not count.
stop() {
    local started=$SECONDS
    pod stop --time 30 "$1" >"$work/last" 2>&1 || fail "stop $1"
    is "$(state "$1" ExitCode)" 0 "the exit status of $1"
    ((SECONDS - started < 5)) || fail "$1 took $((SECONDS - started)) s to stop"
    pod rm "$1" >/dev/null
}

state() { pod inspect --format "{{.State.$2}}" "$1"; }

# It does not start, and says this.
refuses() {
    local tries
    for tries in {1..50}; do
        [[ $(state "$1" Status) != exited ]] || break
        sleep 0.2
    done
    is "$(state "$1" Status)" exited "the state of $1 after $tries looks"
    is "$(state "$1" ExitCode)" 1 "the exit status of $1"
    logged "$1" "$2"
    is "$(pod logs "$1" 2>&1 | wc -l)" 1 "the number of lines of $1"
    pod rm "$1" >/dev/null
}

# Its mode and its owner.
file_of() { stat -c %a:%u "$1"; }
owned_folder() { install -d -o $UID_IN_IMAGE -g $UID_IN_IMAGE "$1"; }

# The server's own process has the image's user, and no capability.
powerless() {
    is "$(pod exec "$1" cat /proc/1/status | awk '/^(Uid|CapEff)/ { print $2 }' | xargs)" \
        "$UID_IN_IMAGE 0000000000000000" "user and capabilities of $1"
}

both_servers() {
    local key
    strictly both -v both:/data "$IMAGE"
    wait_for both
    is "$(pod exec both stat -c %a:%u /data/id_ed25519)" 600:$UID_IN_IMAGE "the key"
    powerless both
    key=$(pod exec both cat /data/id_ed25519.pub)
    pod exec both rustdesk-utils client-config --host rustdesk.example.com >"$work/last"
    grep -qF "$key" "$work/last" || fail "client-config"
    ! healthy both rustdesk-server --port=31116 || fail "healthy where nothing listens"
    pod kill --signal STOP both >/dev/null
    ! healthy both || fail "healthy while it hangs"
    pod kill --signal CONT both >/dev/null
    wait_for both
    stop both
    strictly again -v both:/data "$IMAGE" --log-format=json
    wait_for again
    is "$(pod exec again cat /data/id_ed25519.pub)" "$key" "the key after a restart"
    stop again
}

two_containers() {
    local data=$work/two
    owned_folder "$data"
    strictly hbbs -v "$data:/root" "$IMAGE" hbbs -r rustdesk.example.com:21117 -p 22116
    network=container:hbbs strictly hbbr -v "$data:/root" "$IMAGE" hbbr
    wait_for hbbs
    wait_for hbbr
    logged hbbs "22116/tcp"
    # Commands by exec know how it was started, though not by their folder.
    pod exec hbbs rustdesk-utils healthcheck >"$work/last" 2>&1 || fail "healthcheck by exec"
    pod exec hbbs rustdesk-utils client-config --host rustdesk.example.com >"$work/last"
    grep -qx 'Ports to open: 22115/tcp, 22116/tcp, 22118/tcp, 22116/udp' "$work/last" ||
        fail "client-config by exec"
    logged hbbr "relay listens on 21117/tcp"
    stop hbbr
    stop hbbs
}

variables() {
    strictly plain -e KEY= "$IMAGE" hbbr
    strictly encrypted -v both:/data -e KEY= -e ENCRYPTED_ONLY=1 "$IMAGE" hbbr
    strictly relay -e RELAY=rustdesk.example.com:21117 "$IMAGE"
    wait_for plain
    wait_for encrypted
    wait_for relay
    logged plain "relay-auth open"
    logged encrypted "relay-auth key"
    is "$(pod exec relay rustdesk-utils admin id rs)" rustdesk.example.com:21117 RELAY
    stop plain
    stop encrypted
    stop relay
}

given_keys() {
    local pair public secret secrets=$work/secrets data=$work/given
    pair=$(once rustdesk-utils genkeypair)
    public=$(awk '/^Public/ { print $3 }' <<<"$pair")
    secret=$(awk '/^Secret/ { print $3 }' <<<"$pair")
    owned_folder "$data"
    strictly given -v "$data:/data" -e KEY_PUB="$public" -e KEY_PRIV="$secret" "$IMAGE"
    wait_for given
    is "$(cat "$data/id_ed25519")" "$secret" "the key that was given"
    is "$(file_of "$data/id_ed25519")" 600:$UID_IN_IMAGE "its file"
    stop given
    install -d "$secrets"
    printf '%s\n' "$public" >"$secrets/key_pub"
    printf '%s\n' "$secret" >"$secrets/key_priv"
    strictly secret -v "$secrets:/run/secrets:ro" "$IMAGE" hbbs
    wait_for secret
    is "$(pod exec secret cat /data/id_ed25519.pub)" "$public" "the key of the secrets"
    stop secret
    strictly half -e KEY_PRIV="$secret" "$IMAGE"
    refuses half "KEY_PRIV was given without KEY_PUB"
    strictly other -v both:/data -v "$secrets:/run/secrets:ro" "$IMAGE"
    refuses other "/data/id_ed25519 holds another key"
    logged_nowhere "$secret"
}

# What the logs of podman's own store must not hold: they are under $work, in ctr.log.
logged_nowhere() {
    is "$(find "$work" -name ctr.log -exec grep -lF -- "$1" {} +)" "" "the logs with a secret"
}

# The folder of the original's container: root's, key and all.
folder_of_root() {
    local data=$work/old
    install -d "$data"
    cp "$work/given/id_ed25519" "$work/given/id_ed25519.pub" "$data/"
    cp "$work/given/db_v2.sqlite3" "$data/"
    echo secret >"$work/secret"
    ln -s "$work/secret" "$data/blocklist.txt"
    ln "$work/secret" "$data/blacklist.txt"
    chown -hR 0:0 "$data"
    strictly old -v "$data:/root" "$IMAGE"
    refuses old "run chown -R $UID_IN_IMAGE:$UID_IN_IMAGE on what is mounted there"
    strictly bound --user 0 -v "$data:/root" "$IMAGE"
    refuses bound "root of this container may not"
    run root --user 0 -v "$data:/root" "$IMAGE"
    wait_for root
    powerless root
    is "$(file_of "$data/id_ed25519")" 600:$UID_IN_IMAGE "the key that was root's"
    is "$(file_of "$work/secret")" 644:0 "a file behind links"
    stop root
    rm "$data/blacklist.txt" "$data/blocklist.txt"
    strictly mended -v "$data:/root" "$IMAGE"
    wait_for mended
    cmp "$work/given/id_ed25519" "$data/id_ed25519"
    stop mended
}

other_words() {
    is "$(once sh -c 'id -u; pwd' | xargs)" "$UID_IN_IMAGE /data" "the shell"
    once --help >"$work/last" || fail "--help"
    grep -q -- --relay-port "$work/last" || fail "what --help says"
    ! once nothing-like-this >"$work/last" 2>&1 || fail "an unknown word"
    grep -q '^nothing-like-this: cannot be run: No such file' "$work/last" ||
        fail "what an unknown word says"
}

files() {
    if is_there hadolint; then hadolint deb/Dockerfile; fi
    if is_there docker-compose; then
        for file in deb/compose*.yaml; do docker-compose -f "$file" config --quiet; done
    fi
    passed=$((passed + 1))
}

# In CI everything is.
is_there() {
    command -v "$1" >/dev/null || [[ -z ${CI:-} ]] || fail "$1 is not installed"
    command -v "$1" >/dev/null
}

files
base
say "the base is ready"
build
for step in both_servers two_containers variables given_keys folder_of_root other_words; do
    "$step"
    passed=$((passed + 1))
    say "$step: as it should be"
done
result=PASSED
