// Devices for an ID server: udpgen name=value...
//
// devices= of them, ids counted up from first_id=, share sockets= sockets, each with an own
// address (source= and up).  Device d is at socket d % sockets, always, because a server
// notices a device that moves.  Each registers (RegisterPk; register=0 leaves it out, for
// devices that the server has stored), then sends heartbeats (RegisterPeer):
//   closed loop   window= on the way from each socket; as fast as the server answers
//   open loop     rate= a second, all together; latency is measured
//
// Answers name no device, so latency goes by their order, socket by socket: once one is
// lost those that follow cannot be told apart, and no latencies are printed.
//
// Every answer is checked.  Late is what came after 0.5 s; lost is what did not come in 3 s,
// when a device sends again.  A socket in closed loop that hears nothing for 0.5 s waits
// for what is on the way.  Late, lost and asked_for_key count from the first heartbeat on,
// the rest after warming up.  Everywhere: host port key source seconds warm pid.
// Prints REGISTERED, START and one line of JSON.
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common.h"

enum {
    BATCH = 32,
    DATAGRAM_BYTES = 160,
    ID_CHARS = 9,
    MAX_EVENTS = 256,
    MAX_RING = 1 << 17,
    RECEIVE_BUFFER_BYTES = 4 << 20,
    SETTLE_MS = 200
};
static const double LATE_S = 0.5, LOST_S = 3, REGISTER_S = 300, REGISTER_AGAIN_S = 2;

struct udp_socket {
    int fd, next; // the device whose turn is next
    int in_flight, round_sent;
    int stalled; // of those in flight, in closed loop, how many will be late at best
    double heard_s;
    double *sent_s; // ring of send times of heartbeats, in open loop
    unsigned ring_head, ring_tail;
};

struct generator {
    struct target target;
    struct window window;
    struct udp_socket *sockets;
    int socket_count, devices, first_id, in_window, epoll, turn;
    unsigned ring_size;
    double rate, rate_sent;
    bool registering, ring_overrun;
    long sent, answered, late, lost, bad, asked, refused, unsent;
    struct latencies latencies;
    struct mmsghdr out[BATCH], in[BATCH];
    struct iovec out_vector[BATCH], in_vector[BATCH];
    u8 out_data[BATCH][DATAGRAM_BYTES], in_data[BATCH][DATAGRAM_BYTES];
};

static void put_id(u8 *out, int number) {
    for (int i = ID_CHARS - 1; i >= 0; i--, number /= 10)
        out[i] = (u8)('0' + number % 10);
}

// RegisterPeer{id, serial 3}.
static size_t put_heartbeat(u8 *out, int number) {
    memcpy(out, "\x32\x0d\x0a\x09xxxxxxxxx\x10\x03", 15);
    put_id(out + 4, number);
    return 15;
}

// RegisterPk{id, uuid, pk}; bench/devices.py stores the same uuid and key.
static size_t put_register_pk(u8 *out, int number) {
    u8 body[128], id[ID_CHARS], uuid[8 + ID_CHARS] = "machine-", pk[32];
    put_id(id, number);
    memcpy(uuid + 8, id, ID_CHARS);
    memset(pk, 'k', sizeof pk);
    memcpy(pk, id, ID_CHARS);
    size_t size = put_bytes(body, 1, id, sizeof id);
    size += put_bytes(body + size, 2, uuid, sizeof uuid);
    size += put_bytes(body + size, 3, pk, sizeof pk);
    return put_bytes(out, 15, body, size);
}

static void open_device_socket(struct generator *g, int index) {
    struct udp_socket *s = &g->sockets[index];
    int size = RECEIVE_BUFFER_BYTES;
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = (uint32_t)index};
    s->fd = open_socket(&g->target, SOCK_DGRAM | SOCK_NONBLOCK);
    s->next = index;
    setsockopt(s->fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    bind_source(s->fd, &g->target, (uint32_t)index);
    if (connect(s->fd, (struct sockaddr *)&g->target.to, g->target.to_size))
        die("connect");
    epoll_ctl(g->epoll, EPOLL_CTL_ADD, s->fd, &event);
    if (g->rate)
        s->sent_s = allocate(g->ring_size, sizeof *s->sent_s);
}

static void open_all(struct generator *g) {
    g->epoll = epoll_create1(0);
    g->sockets = allocate((size_t)g->socket_count, sizeof *g->sockets);
    // Enough for what is on the way until it is lost.
    double per_socket = g->rate / g->socket_count * (LOST_S + 1);
    for (g->ring_size = 64; g->ring_size < per_socket && g->ring_size < MAX_RING;)
        g->ring_size *= 2;
    for (int i = 0; i < g->socket_count; i++)
        open_device_socket(g, i);
    for (int i = 0; i < BATCH; i++) {
        g->out_vector[i].iov_base = g->out_data[i];
        g->in_vector[i] = (struct iovec){g->in_data[i], DATAGRAM_BYTES};
        g->out[i].msg_hdr = (struct msghdr){.msg_iov = &g->out_vector[i], .msg_iovlen = 1};
        g->in[i].msg_hdr = (struct msghdr){.msg_iov = &g->in_vector[i], .msg_iovlen = 1};
    }
}

static bool is(const u8 *data, size_t size, const char *expected, size_t expected_size) {
    return size == expected_size && !memcmp(data, expected, size);
}

static void check(struct generator *g, const u8 *data, size_t size) {
    if (is(data, size, "\x3a\x00", 2))
        return;
    if (is(data, size, "\x3a\x02\x10\x01", 4))
        g->asked++;
    else if (is(data, size, "\x82\x01\x00", 3))
        g->bad += !g->registering;
    else if (size == 5 && !memcmp(data, "\x82\x01\x02\x08", 4))
        g->refused++;
    else
        g->bad++;
}

static void note_answers(struct generator *g, struct udp_socket *s, int count) {
    double t = now_s();
    int late = count < s->stalled ? count : s->stalled;
    g->late += late;
    s->stalled -= late;
    s->in_flight -= count;
    s->heard_s = t;
    g->answered += count;
    for (int i = 0; i < count && s->ring_tail != s->ring_head; i++) {
        double latency_s = t - s->sent_s[s->ring_tail++ % g->ring_size];
        latency_add(&g->latencies, latency_s);
        g->late += latency_s > LATE_S;
    }
}

static void receive(struct generator *g, struct udp_socket *s) {
    int count;
    do {
        count = recvmmsg(s->fd, g->in, BATCH, MSG_DONTWAIT, NULL);
        if (count <= 0)
            return;
        for (int i = 0; i < count; i++)
            check(g, g->in_data[i], g->in[i].msg_len);
        note_answers(g, s, count);
    } while (count == BATCH);
}

static void receive_all(struct generator *g, int timeout_ms) {
    static struct epoll_event events[MAX_EVENTS];
    int count = epoll_wait(g->epoll, events, MAX_EVENTS, timeout_ms);
    for (int i = 0; i < count; i++)
        receive(g, &g->sockets[events[i].data.u32]);
}

static int take_device(struct generator *g, struct udp_socket *s) {
    int device = s->next;
    s->next += g->socket_count;
    if (s->next >= g->devices)
        s->next = device % g->socket_count;
    return device;
}

static int send_batch(struct generator *g, struct udp_socket *s, int count) {
    for (int i = 0; i < count; i++) {
        int number = g->first_id + take_device(g, s);
        g->out_vector[i].iov_len = g->registering ? put_register_pk(g->out_data[i], number)
                                                  : put_heartbeat(g->out_data[i], number);
    }
    int sent = sendmmsg(s->fd, g->out, (unsigned)count, 0);
    if (sent < 0)
        sent = 0;
    g->unsent += count - sent;
    g->sent += sent;
    s->in_flight += sent;
    double t = now_s();
    if (s->in_flight == sent)
        s->heard_s = t;
    for (int i = 0; s->sent_s && !g->registering && i < sent; i++)
        s->sent_s[s->ring_head++ % g->ring_size] = t;
    if (s->ring_head - s->ring_tail > g->ring_size)
        g->ring_overrun = true;
    return sent;
}

// Closed loop: sort what a silent socket has on the way into late and lost.
static void watch_silence(struct generator *g, struct udp_socket *s) {
    double silence_s = s->in_flight > 0 ? now_s() - s->heard_s : 0;
    if (silence_s > LOST_S) {
        g->lost += s->in_flight;
        s->in_flight = s->stalled = 0;
    } else if (silence_s > LATE_S) {
        s->stalled = s->in_flight;
    }
}

// Closed loop: fill the socket's window, in batches worth a system call.
static void fill_window(struct generator *g, struct udp_socket *s) {
    watch_silence(g, s);
    if (s->stalled)
        return;
    int room = g->in_window - s->in_flight;
    if (room > BATCH)
        room = BATCH;
    if (room > 0 && (room == BATCH || room >= g->in_window / 2))
        send_batch(g, s, room);
}

// Open loop: send what the rate allows by now, a few from each socket in turn.
static void keep_rate(struct generator *g) {
    double due = g->rate * (now_s() - g->window.began_s) - g->rate_sent;
    while (due >= 1) {
        int count = due < 8 ? (int)due : 8;
        int share = g->devices / g->socket_count;
        if (share && count > share)
            count = share;
        send_batch(g, &g->sockets[g->turn++ % g->socket_count], count);
        g->rate_sent += count;
        due -= count;
    }
}

static int devices_of(const struct generator *g, int index) {
    return (g->devices - index + g->socket_count - 1) / g->socket_count;
}

// Returns whether all devices of this socket are registered.  Answers name no device, so
// when one is missing all of them register again.
static bool register_some(struct generator *g, int index) {
    struct udp_socket *s = &g->sockets[index];
    int count = devices_of(g, index), answers = s->round_sent - s->in_flight;
    if (answers >= count)
        return true;
    if (s->in_flight > 0 && now_s() - s->heard_s > REGISTER_AGAIN_S) {
        s->in_flight = s->round_sent = 0;
        s->next = index;
    }
    int room = g->in_window - s->in_flight, left = count - s->round_sent;
    room = room < left ? room : left;
    room = room < BATCH ? room : BATCH;
    if (room > 0)
        s->round_sent += send_batch(g, s, room);
    return false;
}

static void start_counting(struct generator *g) {
    g->sent = g->answered = g->unsent = 0;
    g->rate_sent = 0;
    g->latencies.count = 0;
}

// Wait until the answers to what was sent twice have come, and forget those that have not:
// what is still counted as on the way would shift each later answer by one.
static void settle(struct generator *g) {
    long before;
    do {
        before = g->answered;
        receive_all(g, SETTLE_MS);
    } while (g->answered != before);
    for (int i = 0; i < g->socket_count; i++) {
        struct udp_socket *s = &g->sockets[i];
        s->in_flight = 0;
        s->ring_head = s->ring_tail = 0;
    }
}

static void register_all(struct generator *g) {
    double until_s = now_s() + REGISTER_S;
    bool complete = false;
    g->registering = true;
    while (!complete) {
        complete = true;
        for (int i = 0; i < g->socket_count; i++)
            complete &= register_some(g, i);
        receive_all(g, 1);
        if (g->refused || now_s() > until_s) {
            fprintf(stderr, "%ld answers for %d devices, %ld of them refusals\n", g->answered,
                    g->devices, g->refused);
            exit(3);
        }
    }
    settle(g);
    g->registering = false;
}

static void run(struct generator *g) {
    window_begin(&g->window);
    for (;;) {
        // In open loop we may sleep: the server has other pauses to wake up from as well.
        receive_all(g, g->rate ? 1 : 0);
        enum phase phase = window_advance(&g->window);
        if (phase == STARTED)
            start_counting(g);
        if (phase == OVER)
            return;
        if (g->rate)
            keep_rate(g);
        for (int i = 0; !g->rate && i < g->socket_count; i++)
            fill_window(g, &g->sockets[i]);
    }
}

static long on_the_way(const struct generator *g) {
    long sum = 0;
    for (int i = 0; i < g->socket_count; i++)
        sum += g->sockets[i].in_flight > 0 ? g->sockets[i].in_flight : 0;
    return sum;
}

// What was answered within the measured time is known now; then wait for the rest.
static void finish(struct generator *g, long *in_time) {
    double until_s = now_s() + LOST_S;
    *in_time = g->answered;
    while (on_the_way(g) && now_s() < until_s) {
        receive_all(g, 10);
        for (int i = 0; !g->rate && i < g->socket_count; i++)
            watch_silence(g, &g->sockets[i]);
    }
    g->lost += on_the_way(g);
}

static void print_result(struct generator *g, long in_time) {
    double cpu = g->window.cpu_used_s;
    printf("{\"sent\":%ld,\"answered\":%ld,\"seconds\":%.4f,\"per_s\":%.1f,", g->sent,
           g->answered, g->window.elapsed_s, (double)in_time / g->window.elapsed_s);
    printf("\"late\":%ld,\"lost\":%ld,\"bad\":%ld,", g->late, g->lost, g->bad);
    printf("\"asked_for_key\":%ld,\"refused\":%ld,", g->asked, g->refused);
    printf("\"unsent\":%ld,\"cpu_s\":%.6f,\"cpu_us_each\":%.4f", g->unsent, cpu,
           in_time ? cpu * 1e6 / (double)in_time : 0);
    if (g->rate && !g->lost && !g->ring_overrun) {
        printf(",");
        latency_print(&g->latencies);
    }
    printf("}\n");
}

int main(int argc, char **argv) {
    static struct generator g;
    long in_time;
    prepare_process();
    options_begin(argc, argv);
    g.socket_count = (int)number_option("sockets", 16);
    target_options(&g.target, (uint32_t)g.socket_count);
    window_options(&g.window, 0.5);
    g.devices = (int)number_option("devices", 1000);
    g.first_id = (int)number_option("first_id", 100000000);
    g.in_window = (int)number_option("window", 32);
    g.rate = number_option("rate", 0);
    text_option("key", ""); // neither registering nor heartbeats present it
    bool registers = number_option("register", 1) != 0;
    options_end();
    if (g.socket_count < 1 || g.devices < g.socket_count || g.in_window < 1) {
        fprintf(stderr, "each socket needs a device and a window\n");
        return 2;
    }
    open_all(&g);
    if (registers)
        register_all(&g);
    printf("REGISTERED %d\n", registers ? g.devices : 0);
    fflush(stdout);
    run(&g);
    finish(&g, &in_time);
    print_result(&g, in_time);
    return g.bad || g.refused || !g.answered ? 3 : 0;
}
