// Small messages to and fro: A sends, B sends back what came, A measures.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "modes.h"

enum { MAX_EVENTS = 1024, MAX_SIZE = 65536, MAX_WIRE_BYTES = MAX_SIZE + MAX_HEAD_BYTES };

struct pair {
    double sent_s, next_s;
    size_t got[2]; // bytes of the message that is on its way, at A and at B
    bool under_way;
};

// The message on the wire of one side.
struct wire {
    u8 sent[MAX_WIRE_BYTES], expected[MAX_WIRE_BYTES];
    size_t sent_bytes, expected_bytes;
};

struct pingpong {
    struct sessions *sessions;
    struct window window;
    struct pair *pairs;
    struct latencies latencies;
    struct wire wire[2];
    int epoll;
    double interval_s;
    bool fifo, sleeps;
    long done;
    u8 received[MAX_WIRE_BYTES];
};

static void make_messages(struct pingpong *game, size_t size) {
    u8 message[MAX_SIZE];
    for (size_t i = 0; i < size; i++)
        message[i] = (u8)(i * 37 + 11);
    for (int side = 0; side < 2; side++) {
        struct wire *wire = &game->wire[side];
        enum framing framing = game->sessions->framing[side];
        wire->sent_bytes = put_message(wire->sent, framing, message, size, SOME_MASK);
        size_t head = put_server_head(wire->expected, framing, size);
        memcpy(wire->expected + head, message, size);
        wire->expected_bytes = head + size;
    }
}

static void watch(struct pingpong *game) {
    game->epoll = epoll_create1(0);
    for (int i = 0; i < game->sessions->count; i++)
        for (int side = 0; side < 2; side++) {
            struct epoll_event event = {.events = EPOLLIN,
                                        .data.u32 = (uint32_t)(i * 2 + side)};
            epoll_ctl(game->epoll, EPOLL_CTL_ADD, game->sessions->list[i].fd[side], &event);
        }
}

static void send_message(struct pingpong *game, int index, int side) {
    const struct wire *wire = &game->wire[side];
    int fd = game->sessions->list[index].fd[side];
    if (write(fd, wire->sent, wire->sent_bytes) != (ssize_t)wire->sent_bytes)
        die("write");
}

static void serve(struct pingpong *game, int index, double t) {
    struct pair *pair = &game->pairs[index];
    if (pair->under_way || t < pair->next_s)
        return;
    pair->under_way = true;
    pair->next_s += game->interval_s;
    if (pair->next_s < t)
        pair->next_s = t;
    pair->sent_s = now_s();
    send_message(game, index, 0);
}

static void receive(struct pingpong *game, int index, int side) {
    struct pair *pair = &game->pairs[index];
    const struct wire *wire = &game->wire[side];
    const u8 *expected = wire->expected + pair->got[side];
    size_t missing = wire->expected_bytes - pair->got[side];
    ssize_t got = read(game->sessions->list[index].fd[side], game->received, missing);
    if (got < 0 && errno == EAGAIN)
        return;
    if (got <= 0 || memcmp(game->received, expected, (size_t)got)) {
        fprintf(stderr, "session %d %s\n", index, got <= 0 ? "ended" : "has wrong bytes");
        exit(3);
    }
    pair->got[side] += (size_t)got;
    if (pair->got[side] < wire->expected_bytes)
        return;
    pair->got[side] = 0;
    if (side) {
        send_message(game, index, side);
        return;
    }
    latency_add(&game->latencies, now_s() - pair->sent_s);
    game->done++;
    pair->under_way = false;
    if (!game->interval_s)
        serve(game, index, now_s());
}

static void serve_all(struct pingpong *game) {
    double t = now_s();
    for (int i = 0; i < game->sessions->count; i++)
        serve(game, i, t);
}

static void run(struct pingpong *game) {
    static struct epoll_event events[MAX_EVENTS];
    window_begin(&game->window);
    serve_all(game);
    for (;;) {
        // Awake all the time the answers cost the server no wake-up; beside other load on
        // this core we must sleep.
        int count = epoll_wait(game->epoll, events, MAX_EVENTS, game->sleeps ? 1 : 0);
        enum phase phase = window_advance(&game->window);
        if (phase == STARTED)
            game->done = 0, game->latencies.count = 0;
        if (phase == OVER)
            return;
        for (int i = 0; i < count; i++)
            receive(game, (int)events[i].data.u32 / 2, events[i].data.u32 & 1);
        if (game->interval_s)
            serve_all(game);
    }
}

static void print_result(struct pingpong *game) {
    double cpu = game->window.cpu_used_s;
    printf("{\"round_trips\":%ld,\"seconds\":%.4f,\"per_s\":%.1f,\"fifo\":%d,", game->done,
           game->window.elapsed_s, (double)game->done / game->window.elapsed_s, game->fifo);
    printf("\"cpu_s\":%.6f,\"cpu_us_each\":%.4f,", cpu,
           game->done ? cpu * 1e6 / (double)game->done : 0);
    latency_print(&game->latencies);
    printf("}\n");
}

int pingpong_run(struct sessions *sessions) {
    static struct pingpong game;
    game.sessions = sessions;
    window_options(&game.window, 0.2);
    int size = (int)number_option("size", 64);
    game.interval_s = number_option("interval_us", 0) * 1e-6;
    game.sleeps = number_option("sleep", 0) != 0;
    bool wants_fifo = number_option("fifo", 0) != 0;
    options_end();
    if (size < 1 || size > MAX_SIZE) {
        fprintf(stderr, "size must be from 1 to %d\n", MAX_SIZE);
        return 2;
    }
    make_messages(&game, (size_t)size);
    game.pairs = allocate((size_t)sessions->count, sizeof *game.pairs);
    sessions_open(sessions, 0, sessions->count);
    sessions_set_nonblocking(sessions);
    watch(&game);
    // Real time must sleep: awake all the time it would keep everybody else off the core.
    game.fifo = wants_fifo && game.sleeps && become_realtime();
    run(&game);
    print_result(&game);
    return game.done ? 0 : 3;
}
