#include "sessions.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

enum { UUID_CHARS = 36, REQUEST_RELAY = 18, HELLO_BYTES = 16 };
static const double HELLO_S = 10;

void sessions_options(struct sessions *sessions, int count) {
    const char *path = text_option("uuids", "");
    target_options(&sessions->target, 200);
    sessions->key = text_option("key", "");
    sessions->first = (uint32_t)number_option("first", 0);
    sessions->count = (int)number_option("sessions", count);
    sessions->list = allocate((size_t)sessions->count, sizeof *sessions->list);
    sessions->uuids = !*path ? NULL : strcmp(path, "-") ? fopen(path, "r") : stdin;
    if (*path && !sessions->uuids)
        die(path);
}

static void random_uuid(char *text) {
    u8 r[16];
    if (getrandom(r, sizeof r, 0) != sizeof r)
        die("getrandom");
    snprintf(text, UUID_CHARS + 1,
             "%02x%02x%02x%02x-%02x%02x-4%x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", r[0], r[1],
             r[2], r[3], r[4], r[5], r[6] & 15, r[7], 0x80 | (r[8] & 0x3f), r[9], r[10], r[11],
             r[12], r[13], r[14], r[15]);
}

static void next_uuid(struct sessions *sessions, char *text) {
    if (!sessions->uuids) {
        random_uuid(text);
        return;
    }
    if (fscanf(sessions->uuids, "%36s", text) != 1) {
        fprintf(stderr, "there are fewer uuids than sessions\n");
        exit(1);
    }
}

// RequestRelay{id, uuid, licence_key} in a frame, as a client's side 0 or 1 sends it.
static size_t first_frame(u8 *out, const char *uuid, const char *key, int side) {
    u8 body[512], message[512];
    size_t size = 0;
    if (side == 0)
        size += put_bytes(body, 1, "123456789", 9);
    size += put_bytes(body + size, 2, uuid, strlen(uuid));
    if (*key)
        size += put_bytes(body + size, 6, key, strnlen(key, 256));
    return put_frame(out, message, put_bytes(message, REQUEST_RELAY, body, size));
}

static void send_hello(int fd, uint64_t number, uint64_t word) {
    uint64_t hello[2] = {number, word};
    write_whole(fd, hello, HELLO_BYTES);
}

static void expect_hello(int fd, uint64_t number, uint64_t word) {
    uint64_t hello[2];
    if (!read_whole(fd, hello, HELLO_BYTES, HELLO_S)) {
        fprintf(stderr, "session %llu was not paired\n", (unsigned long long)number);
        exit(3);
    }
    if (hello[0] != number || hello[1] != word) {
        fprintf(stderr, "session %llu has wrong bytes\n", (unsigned long long)number);
        exit(3);
    }
}

static void open_one(struct sessions *sessions, int index) {
    struct session *session = &sessions->list[index];
    uint64_t number = sessions->first + (uint64_t)index, word = 0x9e3779b97f4a7c15u ^ number;
    char uuid[UUID_CHARS + 1];
    u8 frame[600];
    next_uuid(sessions, uuid);
    for (int side = 1; side >= 0; side--) {
        uint32_t which = (uint32_t)number * 2 + (uint32_t)side;
        session->fd[side] = dial(&sessions->target, which, true);
        write_whole(session->fd[side], frame, first_frame(frame, uuid, sessions->key, side));
    }
    // What B sends early, before A is there, must arrive like all the rest.
    send_hello(session->fd[1], number, word);
    send_hello(session->fd[0], number, ~word);
    expect_hello(session->fd[0], number, word);
    expect_hello(session->fd[1], number, ~word);
}

void sessions_open(struct sessions *sessions, int from, int to) {
    for (int i = from; i < to; i++)
        open_one(sessions, i);
}

void sessions_set_nonblocking(struct sessions *sessions) {
    for (int i = 0; i < sessions->count; i++)
        for (int side = 0; side < 2; side++)
            fcntl(sessions->list[i].fd[side], F_SETFL, O_NONBLOCK);
}
