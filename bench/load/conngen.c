// Short TCP requests to an ID server: connect, ask one thing, check the answer, close.
//
//   conngen what=online    OnlineRequest for two ids that nobody has, on port P-1
//   conngen what=nat       TestNatRequest: the answer must name our own port
//   conngen what=probe     connect, say nothing but that we are done, wait for the end
//   conngen what=punch     PunchHoleRequest for an id that nobody has, with key=, on port P
//
// at_once= connections are under way at any time, from addresses= own addresses in turn.
// Only punch has a use for key=.  Everywhere: host port key source seconds warm pid.  Prints START and one line of JSON.
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

enum what { ONLINE, NAT, PROBE, PUNCH };
enum { MAX_EVENTS = 512, ANSWER_BYTES = 256, KEY_CHARS = 100 };

struct connection {
    int fd;
    double began_s;
};

struct generator {
    struct target target;
    struct window window;
    struct connection *connections;
    struct latencies latencies;
    enum what what;
    int at_once, epoll;
    uint32_t turn;
    const char *key;
    u8 request[256];
    size_t request_size;
    long done, failed, wrong;
};

static void make_request(struct generator *g) {
    u8 body[160], message[192];
    size_t size = 0;
    if (g->what == ONLINE) {
        size += put_bytes(body, 1, "123456789", 9);
        size += put_bytes(body + size, 2, "100000000", 9);
        size += put_bytes(body + size, 2, "111222333", 9);
        size = put_bytes(message, 23, body, size);
    } else if (g->what == PUNCH) {
        size += put_bytes(body, 1, "111222333", 9);
        size += put_bytes(body + size, 3, g->key, strlen(g->key));
        size += put_bytes(body + size, 6, "1.4.9", 5);
        size = put_bytes(message, 8, body, size);
    } else {
        size = put_number(body, 1, 3);
        size = put_bytes(message, 20, body, size);
    }
    g->request_size = put_frame(g->request, message, size);
}

static void start(struct generator *g, int index) {
    struct connection *c = &g->connections[index];
    struct epoll_event event = {.events = EPOLLOUT, .data.u32 = (uint32_t)index};
    c->began_s = now_s();
    c->fd = dial(&g->target, g->turn++, false);
    epoll_ctl(g->epoll, EPOLL_CTL_ADD, c->fd, &event);
}

static void end(struct generator *g, int index, long *counter) {
    struct connection *c = &g->connections[index];
    (*counter)++;
    if (counter == &g->done)
        latency_add(&g->latencies, now_s() - c->began_s);
    close(c->fd);
    start(g, index);
}

static void on_connected(struct generator *g, int index) {
    int fd = g->connections[index].fd;
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = (uint32_t)index};
    // Waiting for the server's end of a probe too, we never get ahead of it.
    if (g->what == PROBE)
        shutdown(fd, SHUT_WR);
    else if (write(fd, g->request, g->request_size) != (ssize_t)g->request_size) {
        end(g, index, &g->failed);
        return;
    }
    epoll_ctl(g->epoll, EPOLL_CTL_MOD, fd, &event);
}

// OnlineResponse{states} in a frame: one byte, which says that neither is online.
static bool is_online_answer(const u8 *answer, size_t size) {
    return size == 7 && !memcmp(answer, "\x18\xc2\x01\x03\x0a\x01\x00", 7);
}

// TestNatResponse{port} in a frame, with the port that we are connected from.
static bool is_nat_answer(int fd, const u8 *answer, size_t size) {
    struct sockaddr_storage own; // the port is at the same place in both families
    socklen_t length = sizeof own;
    u8 body[16], message[32], expected[48];
    getsockname(fd, (struct sockaddr *)&own, &length);
    size_t body_size = put_number(body, 1, ntohs(((struct sockaddr_in *)&own)->sin_port));
    size_t all = put_frame(expected, message, put_bytes(message, 21, body, body_size));
    return size == all && !memcmp(answer, expected, all);
}

// PunchHoleResponse{ID_NOT_EXIST} in a frame.
static bool is_punch_answer(const u8 *answer, size_t size) {
    return size == 3 && !memcmp(answer, "\x08\x5a\x00", 3);
}

static bool is_answer(const struct generator *g, int fd, const u8 *answer, size_t size) {
    if (g->what == NAT)
        return is_nat_answer(fd, answer, size);
    return g->what == PUNCH ? is_punch_answer(answer, size) : is_online_answer(answer, size);
}

static void on_answer(struct generator *g, int index) {
    int fd = g->connections[index].fd;
    u8 answer[ANSWER_BYTES];
    ssize_t got = read(fd, answer, sizeof answer);
    if (g->what == PROBE || got <= 0) {
        end(g, index, g->what == PROBE && !got ? &g->done : &g->failed);
        return;
    }
    end(g, index, is_answer(g, fd, answer, (size_t)got) ? &g->done : &g->wrong);
}

static void on_event(struct generator *g, const struct epoll_event *event) {
    int index = (int)event->data.u32;
    bool cut = event->events & (EPOLLERR | EPOLLHUP);
    if (event->events & EPOLLIN)
        on_answer(g, index);
    else if (cut)
        end(g, index, &g->failed);
    else
        on_connected(g, index);
}

static void run(struct generator *g) {
    static struct epoll_event events[MAX_EVENTS];
    window_begin(&g->window);
    for (int i = 0; i < g->at_once; i++)
        start(g, i);
    for (;;) {
        int count = epoll_wait(g->epoll, events, MAX_EVENTS, 0);
        enum phase phase = window_advance(&g->window);
        if (phase == STARTED) {
            g->done = g->failed = g->wrong = 0;
            g->latencies.count = 0;
        }
        if (phase == OVER)
            return;
        for (int i = 0; i < count; i++)
            on_event(g, &events[i]);
    }
}

static void print_result(struct generator *g) {
    double cpu = g->window.cpu_used_s;
    printf("{\"requests\":%ld,\"seconds\":%.4f,\"per_s\":%.1f,\"failed\":%ld,\"wrong\":%ld,",
           g->done, g->window.elapsed_s, (double)g->done / g->window.elapsed_s, g->failed,
           g->wrong);
    printf("\"cpu_s\":%.6f,\"cpu_us_each\":%.4f,", cpu,
           g->done ? cpu * 1e6 / (double)g->done : 0);
    latency_print(&g->latencies);
    printf("}\n");
}

static enum what what_option(void) {
    const char *what = text_option("what", "online");
    if (!strcmp(what, "online"))
        return ONLINE;
    if (!strcmp(what, "nat"))
        return NAT;
    if (!strcmp(what, "probe"))
        return PROBE;
    if (!strcmp(what, "punch"))
        return PUNCH;
    fprintf(stderr, "what must be online, nat, probe or punch\n");
    exit(2);
}

int main(int argc, char **argv) {
    static struct generator g;
    prepare_process();
    options_begin(argc, argv);
    target_options(&g.target, 200);
    window_options(&g.window, 0.4);
    g.what = what_option();
    g.at_once = (int)number_option("at_once", 200);
    g.key = text_option("key", "");
    options_end();
    if (strlen(g.key) > KEY_CHARS) {
        fprintf(stderr, "key is too long\n");
        return 2;
    }
    g.connections = allocate((size_t)g.at_once, sizeof *g.connections);
    g.epoll = epoll_create1(0);
    make_request(&g);
    run(&g);
    print_result(&g);
    return g.wrong || !g.done ? 3 : 0;
}
