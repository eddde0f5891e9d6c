// A relay to compare with: epoll, two sockets, nothing else.  It checks no key, keeps no
// accounts and knows no limit.
//
//   c_relay PORT copy BYTES            read() and write() through a buffer of BYTES
//   c_relay PORT splice BYTES PIPE     splice() through a pipe of PIPE bytes a direction
//
// Two connections whose RequestRelay names the same uuid are a pair.  Prints "ready".
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "scan.h"

enum { FIRST_BYTES = 1024, UUID_BYTES = 64, BUCKETS = 65536, MAX_EVENTS = 1024 };

struct end {
    int fd;
    uint32_t events;
    struct end *peer, *next; // next of those that wait, in the same bucket
    u8 *first;               // the first frame as far as it came, and what followed
    size_t first_size;
    u8 uuid[UUID_BYTES];
    size_t uuid_size;
    u8 *buffer; // what was read here and is to be written to the peer
    size_t offset, size;
    int pipe_out, pipe_in;
    size_t in_pipe;
    bool dead;
};

static int epoll_fd;
static size_t chunk;
static int pipe_bytes;
static bool splices;
static struct end *waiting[BUCKETS];

static void set_events(struct end *end, uint32_t events) {
    struct epoll_event event = {.events = events, .data.ptr = end};
    if (end->dead || end->events == events)
        return;
    epoll_ctl(epoll_fd, EPOLL_CTL_MOD, end->fd, &event);
    end->events = events;
}

static struct end **bucket_of(const struct end *end) {
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < end->uuid_size; i++)
        hash = (hash ^ end->uuid[i]) * 16777619u;
    return &waiting[hash % BUCKETS];
}

static void stop_waiting(struct end *end) {
    struct end **place = bucket_of(end);
    while (*place && *place != end)
        place = &(*place)->next;
    if (*place)
        *place = end->next;
}

static void end_one(struct end *end) {
    if (end->dead)
        return;
    end->dead = true;
    stop_waiting(end);
    close(end->fd);
    if (end->pipe_in >= 0) {
        close(end->pipe_in);
        close(end->pipe_out);
    }
    free(end->buffer);
    free(end->first);
    end->buffer = end->first = NULL; // the struct stays: an event may still name it
}

static void end_pair(struct end *end) {
    struct end *peer = end->peer;
    end_one(end);
    if (peer)
        end_one(peer);
}

// Returns 0 when all is written, 1 when the peer is full, -1 when it is gone.
static int write_out(struct end *end) {
    int to = end->peer->fd;
    while (end->size) {
        ssize_t n = write(to, end->buffer + end->offset, end->size);
        if (n < 0)
            return errno == EAGAIN ? 1 : -1;
        end->offset += (size_t)n;
        end->size -= (size_t)n;
    }
    while (end->in_pipe) {
        ssize_t n = splice(end->pipe_out, 0, to, 0, end->in_pipe,
                           SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
        if (n < 0)
            return errno == EAGAIN ? 1 : -1;
        end->in_pipe -= (size_t)n;
    }
    return 0;
}

static void pass_on(struct end *end) {
    int full = write_out(end);
    if (full < 0) {
        end_pair(end);
    } else if (full) {
        set_events(end, end->events & ~(uint32_t)EPOLLIN);
        set_events(end->peer, end->peer->events | EPOLLOUT);
    }
}

static void on_readable(struct end *end) {
    ssize_t n;
    if (splices)
        n = splice(end->fd, 0, end->pipe_in, 0, chunk, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    else
        n = read(end->fd, end->buffer, chunk);
    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0) {
        end_pair(end);
        return;
    }
    if (splices) {
        end->in_pipe = (size_t)n;
    } else {
        end->offset = 0;
        end->size = (size_t)n;
    }
    pass_on(end);
}

static void on_writable(struct end *end) {
    struct end *from = end->peer;
    int full = write_out(from);
    if (full < 0) {
        end_pair(end);
    } else if (!full) {
        set_events(end, end->events & ~(uint32_t)EPOLLOUT);
        set_events(from, from->events | EPOLLIN);
    }
}

static void make_room(struct end *end) {
    int pipe_fds[2];
    end->buffer = malloc(splices ? FIRST_BYTES : chunk > FIRST_BYTES ? chunk : FIRST_BYTES);
    if (!end->buffer)
        exit(1);
    if (!splices)
        return;
    if (pipe2(pipe_fds, O_NONBLOCK | O_CLOEXEC)) {
        perror("pipe");
        exit(1);
    }
    end->pipe_out = pipe_fds[0];
    end->pipe_in = pipe_fds[1];
    if (pipe_bytes > 0 && fcntl(end->pipe_out, F_SETPIPE_SZ, pipe_bytes) < 0)
        perror("F_SETPIPE_SZ");
}

static void begin(struct end *end, struct end *peer) {
    struct end *both[2] = {end, peer};
    end->peer = peer;
    peer->peer = end;
    for (int i = 0; i < 2; i++) {
        make_room(both[i]);
        memcpy(both[i]->buffer, both[i]->first, both[i]->first_size);
        both[i]->size = both[i]->first_size;
        free(both[i]->first);
        both[i]->first = NULL;
        set_events(both[i], EPOLLIN);
    }
    pass_on(end);
    if (!peer->dead)
        pass_on(peer);
}

static struct end *find_waiting(const struct end *end) {
    struct end *other = *bucket_of(end);
    while (other && (other->uuid_size != end->uuid_size ||
                     memcmp(other->uuid, end->uuid, end->uuid_size)))
        other = other->next;
    return other;
}

static void meet(struct end *end) {
    struct end *other = find_waiting(end);
    if (other) {
        stop_waiting(other);
        begin(end, other);
        return;
    }
    struct end **place = bucket_of(end);
    end->next = *place;
    *place = end;
    set_events(end, 0);
}

static bool take_uuid(struct end *end, struct span payload) {
    struct span uuid = scan_bytes(scan_bytes(payload, 18), 2);
    if (!uuid.size || uuid.size > UUID_BYTES)
        return false;
    memcpy(end->uuid, uuid.at, uuid.size);
    end->uuid_size = uuid.size;
    return true;
}

static void on_first(struct end *end) {
    ssize_t n = read(end->fd, end->first + end->first_size, FIRST_BYTES - end->first_size);
    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0) {
        end_one(end);
        return;
    }
    end->first_size += (size_t)n;
    struct span payload, all = {end->first, end->first_size};
    long size = scan_frame(all, FIRST_BYTES / 2, &payload);
    if (size == 0)
        return;
    if (size < 0 || !take_uuid(end, payload)) {
        end_one(end);
        return;
    }
    end->first_size -= (size_t)size;
    memmove(end->first, end->first + size, end->first_size);
    meet(end);
}

static void on_connections(int listener) {
    int one = 1;
    for (int i = 0; i < 64; i++) {
        int fd = accept4(listener, 0, 0, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0)
            return;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        struct end *end = calloc(1, sizeof *end);
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = end};
        if (!end || !(end->first = malloc(FIRST_BYTES)))
            exit(1);
        end->fd = fd;
        end->pipe_in = end->pipe_out = -1;
        end->events = EPOLLIN;
        epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event);
    }
}

static void on_event(struct end *end, uint32_t events) {
    if (end->dead)
        return;
    if (!end->peer) {
        if (events & EPOLLIN)
            on_first(end);
        else
            end_one(end);
        return;
    }
    if (events & EPOLLOUT)
        on_writable(end);
    if (!end->dead && events & EPOLLIN)
        on_readable(end);
    if (!end->dead && events & (EPOLLHUP | EPOLLERR) && !(events & EPOLLIN))
        end_pair(end);
}

static int open_listener(int port) {
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    struct sockaddr_in own = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, (struct sockaddr *)&own, sizeof own) || listen(fd, 4096)) {
        perror("listen");
        exit(1);
    }
    epoll_fd = epoll_create1(0);
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event);
    return fd;
}

int main(int argc, char **argv) {
    static struct epoll_event events[MAX_EVENTS];
    struct rlimit limit;
    if (argc < 4) {
        fprintf(stderr, "usage: c_relay PORT copy|splice BYTES [PIPE]\n");
        return 2;
    }
    splices = !strcmp(argv[2], "splice");
    chunk = (size_t)atol(argv[3]);
    pipe_bytes = argc > 4 ? atoi(argv[4]) : 0;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGPIPE, SIG_IGN);
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    int listener = open_listener(atoi(argv[1]));
    puts("ready");
    fflush(stdout);
    for (;;) {
        int count = epoll_wait(epoll_fd, events, MAX_EVENTS, -1);
        for (int i = 0; i < count; i++) {
            if (events[i].data.ptr)
                on_event(events[i].data.ptr, events[i].events);
            else
                on_connections(listener);
        }
    }
}
