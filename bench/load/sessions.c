#include "sessions.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

enum { UUID_CHARS = 36, REQUEST_RELAY = 18, HELLO_BYTES = 16, MAX_REQUEST_BYTES = 512 };
enum { MAX_ANSWER_BYTES = 8192 };
static const double HELLO_S = 10, UPGRADE_S = 10;

// The nonce is RFC 6455's example, and so is the answer to it.
static const char UPGRADE[] = "GET /ws/relay HTTP/1.1\r\n"
                              "Host: localhost\r\n"
                              "Upgrade: websocket\r\n"
                              "Connection: Upgrade\r\n"
                              "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                              "Sec-WebSocket-Version: 13\r\n\r\n";
static const char ACCEPT_NAME[] = "\r\nSec-WebSocket-Accept:";
static const char ACCEPT[] = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

static bool is_websocket_option(const char *side) {
    const char *kind = text_option(side, "tcp");
    if (strcmp(kind, "tcp") && strcmp(kind, "ws")) {
        fprintf(stderr, "%s=%s is neither tcp nor ws\n", side, kind);
        exit(2);
    }
    return !strcmp(kind, "ws");
}

static void framing_options(struct sessions *sessions) {
    bool websocket[2] = {is_websocket_option("a"), is_websocket_option("b")};
    // Of IPv4 and IPv6 alike, the port stands at the same place.
    uint16_t port = ntohs(((struct sockaddr_in *)&sessions->target[0].to)->sin_port);
    uint16_t wsport = htons((uint16_t)number_option("wsport", port + 2));
    sessions->target[1] = sessions->target[0];
    for (int side = 0; side < 2; side++) {
        enum framing tcp = websocket[!side] ? FRAMES : RAW;
        sessions->framing[side] = websocket[side] ? WEBSOCKET : tcp;
        if (websocket[side])
            ((struct sockaddr_in *)&sessions->target[side].to)->sin_port = wsport;
    }
}

void sessions_options(struct sessions *sessions, int count) {
    const char *path = text_option("uuids", "");
    target_options(&sessions->target[0], 200);
    framing_options(sessions);
    sessions->key = text_option("key", "");
    sessions->first = (uint32_t)number_option("first", 0);
    sessions->count = (int)number_option("sessions", count);
    sessions->list = allocate((size_t)sessions->count, sizeof *sessions->list);
    sessions->uuids = !*path ? NULL : strcmp(path, "-") ? fopen(path, "r") : stdin;
    if (*path && !sessions->uuids)
        die(path);
}

void sessions_need_tcp(const struct sessions *sessions, const char *what) {
    if (sessions->framing[0] == RAW)
        return;
    fprintf(stderr, "%s needs a=tcp b=tcp\n", what);
    exit(2);
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

// RequestRelay{id, uuid, licence_key}, as a client's side 0 or 1 sends it.
static size_t request_relay(u8 *out, const char *uuid, const char *key, int side) {
    u8 body[MAX_REQUEST_BYTES];
    size_t size = 0;
    if (side == 0)
        size += put_bytes(body, 1, "123456789", 9);
    size += put_bytes(body + size, 2, uuid, strlen(uuid));
    if (*key)
        size += put_bytes(body + size, 6, key, strnlen(key, 256));
    return put_bytes(out, REQUEST_RELAY, body, size);
}

static void send_small(int fd, enum framing framing, const void *data, size_t size) {
    u8 message[MAX_REQUEST_BYTES + MAX_HEAD_BYTES];
    write_whole(fd, message, put_message(message, framing, data, size, SOME_MASK));
}

// Read an answer of HTTP up to the empty line, and not a byte more.
static void read_answer(int fd, char *answer) {
    size_t size = 0;
    while (size < 4 || memcmp(answer + size - 4, "\r\n\r\n", 4)) {
        if (size == MAX_ANSWER_BYTES || !read_whole(fd, answer + size, 1, UPGRADE_S)) {
            fprintf(stderr, "no answer to the request for WebSocket\n");
            exit(3);
        }
        size++;
    }
    answer[size] = 0;
}

static void upgrade(int fd) {
    char answer[MAX_ANSWER_BYTES + 1];
    write_whole(fd, UPGRADE, sizeof UPGRADE - 1);
    read_answer(fd, answer);
    const char *accept = strcasestr(answer, ACCEPT_NAME);
    if (accept) {
        accept += sizeof ACCEPT_NAME - 1;
        accept += strspn(accept, " \t");
    }
    bool is_101 = !strncmp(answer, "HTTP/1.1 101 ", 13);
    if (is_101 && accept && !strncmp(accept, ACCEPT, sizeof ACCEPT - 1))
        return;
    fprintf(stderr, "no WebSocket: %.*s\n", (int)strcspn(answer, "\r\n"), answer);
    exit(3);
}

// Connect one side, and present the first message.
static int join(struct sessions *sessions, uint32_t number, int side, const char *uuid) {
    enum framing framing = sessions->framing[side];
    u8 request[MAX_REQUEST_BYTES];
    int fd = dial(&sessions->target[side], number * 2 + (uint32_t)side, true);
    if (framing == WEBSOCKET)
        upgrade(fd);
    size_t size = request_relay(request, uuid, sessions->key, side);
    send_small(fd, framing == RAW ? FRAMES : framing, request, size);
    return fd;
}

static void send_hello(int fd, enum framing framing, uint64_t number, uint64_t word) {
    uint64_t hello[2] = {number, word};
    send_small(fd, framing, hello, HELLO_BYTES);
}

static void expect_hello(int fd, enum framing framing, uint64_t number, uint64_t word) {
    uint64_t hello[2] = {number, word};
    u8 expected[MAX_HEAD_BYTES + HELLO_BYTES], got[sizeof expected];
    size_t head = put_server_head(expected, framing, HELLO_BYTES);
    memcpy(expected + head, hello, HELLO_BYTES);
    if (!read_whole(fd, got, head + HELLO_BYTES, HELLO_S)) {
        fprintf(stderr, "session %llu was not paired\n", (unsigned long long)number);
        exit(3);
    }
    if (memcmp(got, expected, head + HELLO_BYTES)) {
        fprintf(stderr, "session %llu has wrong bytes\n", (unsigned long long)number);
        exit(3);
    }
}

static void open_one(struct sessions *sessions, int index) {
    int *fd = sessions->list[index].fd;
    enum framing *framing = sessions->framing;
    uint64_t number = sessions->first + (uint64_t)index, word = 0x9e3779b97f4a7c15u ^ number;
    char uuid[UUID_CHARS + 1];
    next_uuid(sessions, uuid);
    for (int side = 1; side >= 0; side--)
        fd[side] = join(sessions, (uint32_t)number, side, uuid);
    // What B sends early, before A is there, must arrive like all the rest.
    send_hello(fd[1], framing[1], number, word);
    send_hello(fd[0], framing[0], number, ~word);
    expect_hello(fd[0], framing[0], number, word);
    expect_hello(fd[1], framing[1], number, ~word);
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
