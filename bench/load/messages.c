// Messages through a relay, as many as go, all of one size.  The relay must be what limits:
// messages are made and masked beforehand; of large ones only the heads are read, the rest
// is received with MSG_TRUNC; and we never sleep, so that the relay pays for no wake-ups.
// verify=1 reads and compares everything.  That each message arrives whole is always
// checked.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "inbound.h"
#include "modes.h"

enum {
    SOURCE_BYTES = 1 << 20, // at least two messages, though
    MAX_SIZE = (4 << 20) - 1,
    RECEIVE_BYTES = 256 << 10,
    SKIP_BYTES = 4096, // for less, a call of its own is dearer than a copy
    TURN_BYTES = 256 << 10,
    MAX_EVENTS = 1024,
};

// All messages as one side sends them, one behind the other.
struct source {
    u8 *bytes;
    size_t *begins; // where each begins, and where the last one ends
};

// One direction of a session.
struct flow {
    int from, to;
    const struct source *source;
    size_t sent_at, first, rounds; // place in the source; message it began with
    double uncounted;              // messages that arrived before the measured time
    struct inbound inbound;
};

struct messages {
    struct sessions *sessions;
    struct window window;
    struct flow *flows;
    int flow_count, epoll;
    struct plain plain;
    struct source source[2];
    size_t chunk; // of one send()
    u8 *received;
    double limit; // messages each direction; 0 for no limit
    bool verify;
};

static uint64_t next_random(uint64_t *state) {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static void make_plain(struct plain *plain, size_t size) {
    uint64_t state = 88172645463325252u;
    plain->size = size;
    plain->count = SOURCE_BYTES / size < 2 ? 2 : SOURCE_BYTES / size;
    plain->bytes = allocate(1, plain->count * size + sizeof state);
    for (size_t i = 0; i < plain->count * size; i += sizeof state) {
        next_random(&state);
        memcpy(plain->bytes + i, &state, sizeof state);
    }
}

static void make_source(struct source *source, const struct plain *plain,
                        enum framing framing) {
    uint64_t state = 2463534242u;
    source->bytes = allocate(plain->count, plain->size + MAX_HEAD_BYTES);
    source->begins = allocate(plain->count + 1, sizeof *source->begins);
    for (size_t i = 0; i < plain->count; i++) {
        const u8 *message = plain->bytes + i * plain->size;
        uint32_t mask = (uint32_t)next_random(&state);
        source->begins[i + 1] = source->begins[i];
        source->begins[i + 1] += put_message(source->bytes + source->begins[i], framing,
                                             message, plain->size, mask);
    }
}

static void make_flows(struct messages *load, bool both) {
    struct sessions *sessions = load->sessions;
    load->flow_count = sessions->count * (both ? 2 : 1);
    load->flows = allocate((size_t)load->flow_count, sizeof *load->flows);
    for (int i = 0; i < load->flow_count; i++) {
        struct flow *flow = &load->flows[i];
        int *fd = sessions->list[i % sessions->count].fd, side = i / sessions->count;
        flow->from = fd[side];
        flow->to = fd[!side];
        flow->source = &load->source[side];
        // No two flows carry the same messages at the same time.
        flow->first = (size_t)i * 61 % load->plain.count;
        flow->sent_at = flow->source->begins[flow->first];
        flow->inbound = (struct inbound){.framing = sessions->framing[!side],
                                         .plain = &load->plain,
                                         .compares = load->verify,
                                         .expected = flow->first};
    }
}

// Events name a flow and whether its sending end (0) or its receiving end (1) is meant.
static void watch(struct messages *load) {
    load->epoll = epoll_create1(0);
    for (int i = 0; i < load->flow_count; i++) {
        struct flow *flow = &load->flows[i];
        struct epoll_event event = {.events = EPOLLOUT, .data.u32 = (uint32_t)i * 2};
        // Both ways need two epoll entries, and so two descriptors, for a socket.
        flow->to = dup(flow->to);
        if (flow->to < 0)
            die("dup");
        epoll_ctl(load->epoll, EPOLL_CTL_ADD, flow->from, &event);
        event.events = EPOLLIN;
        event.data.u32++;
        epoll_ctl(load->epoll, EPOLL_CTL_ADD, flow->to, &event);
    }
}

// Where in the source the sending has to end, in this round.
static size_t send_until(const struct messages *load, const struct flow *flow) {
    size_t count = load->plain.count;
    double last = (double)flow->first + load->limit - (double)(flow->rounds * count);
    bool ends_here = load->limit && last <= (double)count;
    return flow->source->begins[ends_here ? (size_t)last : count];
}

static void on_sendable(struct messages *load, struct flow *flow) {
    size_t left = send_until(load, flow) - flow->sent_at;
    size_t size = left < load->chunk ? left : load->chunk;
    ssize_t sent = send(flow->from, flow->source->bytes + flow->sent_at, size, 0);
    if (sent < 0 && errno != EAGAIN)
        die("send");
    if (sent > 0)
        flow->sent_at += (size_t)sent;
    if (flow->sent_at == flow->source->begins[load->plain.count]) {
        flow->sent_at = 0;
        flow->rounds++;
    }
    if (send_until(load, flow) == flow->sent_at)
        epoll_ctl(load->epoll, EPOLL_CTL_DEL, flow->from, NULL);
}

// Returns how much arrived, 0 for nothing.
static size_t receive(struct messages *load, struct flow *flow) {
    size_t left = flow->inbound.body_left, room = RECEIVE_BYTES;
    bool skips = !load->verify && left >= SKIP_BYTES;
    if (skips)
        room = left;
    else if (!load->verify && load->plain.size >= SKIP_BYTES)
        room = left + MAX_HEAD_BYTES; // no more than that of what can be skipped
    ssize_t got = recv(flow->to, load->received, room, skips ? MSG_TRUNC : 0);
    if (got < 0 && errno == EAGAIN)
        return 0;
    if (got <= 0) {
        fprintf(stderr, "a session ended: %s\n", got ? strerror(errno) : "closed");
        exit(3);
    }
    if (skips)
        inbound_skip(&flow->inbound, (size_t)got);
    else
        inbound_take(&flow->inbound, load->received, (size_t)got);
    return (size_t)got;
}

static void on_receivable(struct messages *load, struct flow *flow) {
    size_t sum = 0, got;
    while (sum < TURN_BYTES && (got = receive(load, flow)) > 0)
        sum += got;
}

static bool is_complete(const struct messages *load) {
    if (!load->limit)
        return false;
    for (int i = 0; i < load->flow_count; i++)
        if (load->flows[i].inbound.received < load->limit)
            return false;
    return true;
}

static void run(struct messages *load) {
    static struct epoll_event events[MAX_EVENTS];
    window_begin(&load->window);
    for (;;) {
        int count = epoll_wait(load->epoll, events, MAX_EVENTS, 0);
        enum phase phase = window_advance(&load->window);
        for (int i = 0; phase == STARTED && i < load->flow_count; i++)
            load->flows[i].uncounted = load->flows[i].inbound.received;
        if (phase == OVER)
            return;
        if (is_complete(load)) {
            window_end(&load->window);
            return;
        }
        for (int i = 0; i < count; i++) {
            struct flow *flow = &load->flows[events[i].data.u32 / 2];
            if (events[i].data.u32 & 1)
                on_receivable(load, flow);
            else
                on_sendable(load, flow);
        }
    }
}

// Returns whether messages arrived in the measured time, and nothing was wrong.
static bool print_result(struct messages *load) {
    double total = 0, least = -1, seconds = load->window.elapsed_s;
    double cpu = load->window.cpu_used_s;
    unsigned long long bad = 0;
    for (int i = 0; i < load->flow_count; i++) {
        struct flow *flow = &load->flows[i];
        double counted = flow->inbound.received - flow->uncounted;
        total += counted;
        least = least < 0 || counted < least ? counted : least;
        bad += flow->inbound.bad;
    }
    double bytes = total * (double)load->plain.size;
    printf("{\"messages\":%.0f,\"bytes\":%.0f,\"seconds\":%.4f,", total, bytes, seconds);
    printf("\"mb_s\":%.2f,\"per_s\":%.1f,\"bad\":%llu,", bytes * 1e-6 / seconds,
           total / seconds, bad);
    printf("\"min_share\":%.4f,\"cpu_s\":%.6f,\"cpu_busy\":%.4f,",
           total ? least * load->flow_count / total : 0, cpu, cpu / seconds);
    printf("\"cpu_us_each\":%.4f,\"cpu_s_per_gb\":%.6f}\n", total ? cpu * 1e6 / total : 0,
           total ? cpu / (bytes * 1e-9) : 0);
    return total > 0 && !bad;
}

int messages_run(struct sessions *sessions) {
    struct messages load = {.sessions = sessions};
    window_options(&load.window, 0.3);
    double size = number_option("size", 16 << 10);
    load.chunk = (size_t)number_option("chunk", 256 << 10);
    load.limit = number_option("messages", 0);
    load.verify = number_option("verify", 0) != 0;
    bool both = number_option("both", 0) != 0;
    options_end();
    if (size < 1 || size > MAX_SIZE || !load.chunk) {
        fprintf(stderr, "size must be from 1 to %d, and chunk above 0\n", MAX_SIZE);
        return 2;
    }
    if (load.limit)
        load.window.warm_s = 0; // everything counts, from the first message on
    load.received = allocate(1, RECEIVE_BYTES);
    make_plain(&load.plain, (size_t)size);
    for (int side = 0; side < 2; side++) {
        if (sessions->framing[side] == RAW) // clients send frames by TCP alone as well
            sessions->framing[side] = FRAMES;
        make_source(&load.source[side], &load.plain, sessions->framing[side]);
    }
    sessions_open(sessions, 0, sessions->count);
    sessions_set_nonblocking(sessions);
    make_flows(&load, both);
    watch(&load);
    run(&load);
    if (load.limit && !is_complete(&load)) {
        fprintf(stderr, "not all messages arrived in time\n");
        return 3;
    }
    return print_result(&load) ? 0 : 3;
}
