// Bulk through a relay.  The relay must be what limits: we send by sendfile from memory
// and receive with MSG_TRUNC, without touching a byte, and never sleep, so that the relay
// pays for no wake-ups.  verify=1 reads and compares instead.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

#include "modes.h"

enum { SOURCE_BYTES = 4 << 20, RECEIVE_BYTES = 1 << 20, MAX_EVENTS = 1024 };

// One direction of a session.  Offsets are places in the source, which repeats.
struct flow {
    int from, to;
    off_t sent_at;
    size_t checked_at;
    double sent, received, counted;
};

struct bulk {
    struct sessions *sessions;
    struct window window;
    struct flow *flows;
    int flow_count, epoll, source_fd, turn;
    u8 *source, *received;
    double rate, paced_sent, bytes, chunk;
    bool verify;
    unsigned long long bad;
};

static void make_source(struct bulk *bulk) {
    uint64_t state = 88172645463325252u;
    bulk->source_fd = memfd_create("source", 0);
    if (bulk->source_fd < 0 || ftruncate(bulk->source_fd, SOURCE_BYTES))
        die("memfd");
    bulk->source = mmap(0, SOURCE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, bulk->source_fd, 0);
    if (bulk->source == MAP_FAILED)
        die("mmap");
    for (size_t i = 0; i < SOURCE_BYTES; i += sizeof state) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        memcpy(bulk->source + i, &state, sizeof state);
    }
}

static void make_flows(struct bulk *bulk, bool both) {
    struct sessions *sessions = bulk->sessions;
    bulk->flow_count = sessions->count * (both ? 2 : 1);
    bulk->flows = allocate((size_t)bulk->flow_count, sizeof *bulk->flows);
    for (int i = 0; i < bulk->flow_count; i++) {
        struct flow *flow = &bulk->flows[i];
        int *fd = sessions->list[i % sessions->count].fd, side = i / sessions->count;
        flow->from = fd[side];
        flow->to = fd[!side];
        // No two flows carry the same bytes at the same time.
        flow->sent_at = (off_t)i * 65521 % SOURCE_BYTES;
        flow->checked_at = (size_t)flow->sent_at;
    }
}

// Events name a flow and whether its sending end (0) or its receiving end (1) is meant.
static void watch(struct bulk *bulk) {
    bulk->epoll = epoll_create1(0);
    for (int i = 0; i < bulk->flow_count; i++) {
        struct flow *flow = &bulk->flows[i];
        struct epoll_event event = {.events = EPOLLOUT, .data.u32 = (uint32_t)i * 2};
        // The same socket sends one flow and receives another: two epoll entries need
        // two descriptors.
        flow->to = dup(flow->to);
        if (flow->to < 0)
            die("dup");
        if (!bulk->rate)
            epoll_ctl(bulk->epoll, EPOLL_CTL_ADD, flow->from, &event);
        event.events = EPOLLIN;
        event.data.u32++;
        epoll_ctl(bulk->epoll, EPOLL_CTL_ADD, flow->to, &event);
    }
}

static ssize_t send_some(struct bulk *bulk, struct flow *flow) {
    size_t size = (size_t)bulk->chunk;
    if (flow->sent_at >= SOURCE_BYTES)
        flow->sent_at = 0;
    if (bulk->bytes && flow->sent + (double)size > bulk->bytes)
        size = (size_t)(bulk->bytes - flow->sent);
    if (!size)
        return 0;
    ssize_t sent = sendfile(flow->from, bulk->source_fd, &flow->sent_at, size);
    if (sent < 0 && errno != EAGAIN)
        die("send");
    if (sent > 0)
        flow->sent += (double)sent;
    return sent;
}

static void on_sendable(struct bulk *bulk, struct flow *flow) {
    send_some(bulk, flow);
    if (!bulk->bytes || flow->sent < bulk->bytes)
        return;
    epoll_ctl(bulk->epoll, EPOLL_CTL_DEL, flow->from, NULL);
}

static void check(struct bulk *bulk, struct flow *flow, size_t size) {
    for (size_t done = 0; done < size;) {
        size_t room = SOURCE_BYTES - flow->checked_at;
        size_t part = size - done < room ? size - done : room;
        if (memcmp(bulk->received + done, bulk->source + flow->checked_at, part))
            bulk->bad++;
        flow->checked_at = (flow->checked_at + part) % SOURCE_BYTES;
        done += part;
    }
}

static void on_receivable(struct bulk *bulk, struct flow *flow) {
    ssize_t got =
        recv(flow->to, bulk->received, RECEIVE_BYTES, bulk->verify ? 0 : MSG_TRUNC);
    if (got < 0 && errno == EAGAIN)
        return;
    if (got <= 0) {
        fprintf(stderr, "a session ended: %s\n", got ? strerror(errno) : "closed");
        exit(3);
    }
    if (bulk->verify)
        check(bulk, flow, (size_t)got);
    flow->received += (double)got;
    flow->counted += (double)got;
}

// Send what the rate allows by now, in whole messages, one flow after the other.
static void pace(struct bulk *bulk) {
    double allowed = bulk->rate * (now_s() - bulk->window.began_s) - bulk->paced_sent;
    double most = bulk->rate * 0.02;
    if (allowed > most) { // too slow by more than that: what was missed stays missed
        bulk->paced_sent += allowed - most;
        allowed = most;
    }
    for (int tries = 0; allowed >= bulk->chunk && tries < 4 * bulk->flow_count; tries++) {
        ssize_t sent = send_some(bulk, &bulk->flows[bulk->turn++ % bulk->flow_count]);
        if (sent > 0) {
            allowed -= (double)sent;
            bulk->paced_sent += (double)sent;
        }
    }
}

static bool is_complete(const struct bulk *bulk) {
    if (!bulk->bytes)
        return false;
    for (int i = 0; i < bulk->flow_count; i++)
        if (bulk->flows[i].received < bulk->bytes)
            return false;
    return true;
}

static void start_counting(struct bulk *bulk) {
    bulk->paced_sent = 0;
    for (int i = 0; i < bulk->flow_count; i++)
        bulk->flows[i].counted = 0;
}

// Returns the bytes that arrived in the measured time.
static double print_result(struct bulk *bulk) {
    double total = 0, least = -1, most = 0;
    for (int i = 0; i < bulk->flow_count; i++) {
        double counted = bulk->flows[i].counted;
        total += counted;
        least = least < 0 || counted < least ? counted : least;
        most = counted > most ? counted : most;
    }
    double mean = total / bulk->flow_count, cpu = bulk->window.cpu_used_s;
    printf("{\"bytes\":%.0f,\"seconds\":%.4f,\"gbit_s\":%.5f,", total, bulk->window.elapsed_s,
           total * 8e-9 / bulk->window.elapsed_s);
    printf("\"min_share\":%.4f,\"max_share\":%.4f,\"bad\":%llu,\"cpu_s\":%.6f,",
           mean ? least / mean : 0, mean ? most / mean : 0, bulk->bad, cpu);
    printf("\"cpu_s_per_gb\":%.6f}\n", total ? cpu / (total * 1e-9) : 0);
    return total;
}

static void run(struct bulk *bulk) {
    static struct epoll_event events[MAX_EVENTS];
    window_begin(&bulk->window);
    for (;;) {
        int count = epoll_wait(bulk->epoll, events, MAX_EVENTS, 0);
        enum phase phase = window_advance(&bulk->window);
        if (phase == STARTED)
            start_counting(bulk);
        if (phase == OVER)
            return;
        if (is_complete(bulk)) {
            window_end(&bulk->window);
            return;
        }
        for (int i = 0; i < count; i++) {
            struct flow *flow = &bulk->flows[events[i].data.u32 / 2];
            if (events[i].data.u32 & 1)
                on_receivable(bulk, flow);
            else
                on_sendable(bulk, flow);
        }
        if (bulk->rate)
            pace(bulk);
    }
}

int bulk_run(struct sessions *sessions) {
    struct bulk bulk = {.sessions = sessions};
    window_options(&bulk.window, 0.3);
    bulk.rate = number_option("rate", 0) * 1e6 / 8;
    bulk.chunk = number_option("chunk", bulk.rate ? 16 << 10 : 256 << 10);
    bulk.bytes = number_option("bytes", 0);
    bulk.verify = number_option("verify", 0) != 0;
    bool both = number_option("both", 0) != 0;
    options_end();
    sessions_need_tcp(sessions, "bulk");
    if (bulk.bytes)
        bulk.window.warm_s = 0; // everything counts, from the first byte on
    bulk.received = allocate(1, RECEIVE_BYTES);
    make_source(&bulk);
    sessions_open(sessions, 0, sessions->count);
    sessions_set_nonblocking(sessions);
    make_flows(&bulk, both);
    watch(&bulk);
    run(&bulk);
    if (bulk.bytes && !is_complete(&bulk)) {
        fprintf(stderr, "not all bytes arrived in time\n");
        return 3;
    }
    return print_result(&bulk) > 0 && !bulk.bad ? 0 : 3;
}
