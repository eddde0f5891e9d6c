// Short TCP requests to compare with: epoll; OnlineRequest, TestNatRequest and
// PunchHoleRequest, no state.
//
//   tcp_srv PORT
//
// Everybody is offline and nobody is known.  One answer a connection, then it is closed.  Prints "ready".
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "scan.h"

enum { PUNCH_HOLE_REQUEST = 8, ONLINE_REQUEST = 23, TEST_NAT_REQUEST = 20, MAX_EVENTS = 256, MAX_IDS = 200 };

static size_t online_answer(struct span request, u8 *out) {
    unsigned field;
    uint64_t value, ids = 0;
    struct span data;
    while (request.size && scan_field(&request, &field, &value, &data))
        ids += field == 2;
    u8 bytes = (u8)((ids < MAX_IDS ? ids + 7 : MAX_IDS) / 8);
    u8 head[] = {(u8)((bytes + 5) << 2), 0xc2, 0x01, (u8)(bytes + 2), 0x0a, bytes};
    memcpy(out, head, sizeof head);
    memset(out + sizeof head, 0, bytes);
    return sizeof head + bytes;
}

static size_t nat_answer(int fd, u8 *out) {
    struct sockaddr_in peer;
    socklen_t length = sizeof peer;
    getpeername(fd, (struct sockaddr *)&peer, &length);
    unsigned port = ntohs(peer.sin_port);
    u8 size = 0, *varint = out + 5;
    for (; port > 127; port >>= 7)
        varint[size++] = (u8)(port | 128);
    varint[size++] = (u8)port;
    u8 head[] = {(u8)((size + 4) << 2), 0xaa, 0x01, (u8)(size + 1), 0x08};
    memcpy(out, head, sizeof head);
    return 5u + size;
}

static size_t punch_answer(u8 *out) {
    memcpy(out, "\x08\x5a\x00", 3);
    return 3;
}

static void on_request(int fd) {
    u8 in[512], out[256];
    ssize_t got = read(fd, in, sizeof in);
    struct span payload;
    size_t size = 0;
    if (got > 0 && scan_frame((struct span){in, (size_t)got}, 400, &payload) > 0) {
        struct span online = scan_bytes(payload, ONLINE_REQUEST);
        if (online.at)
            size = online_answer(online, out);
        else if (scan_bytes(payload, TEST_NAT_REQUEST).at)
            size = nat_answer(fd, out);
        else if (scan_bytes(payload, PUNCH_HOLE_REQUEST).at)
            size = punch_answer(out);
    }
    if (size && write(fd, out, size) < 0)
        perror("write");
    close(fd);
}

static void on_connections(int listener, int epoll_fd) {
    int one = 1;
    for (int i = 0; i < 100; i++) {
        int fd = accept4(listener, 0, 0, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0)
            return;
        struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event);
    }
}

int main(int argc, char **argv) {
    struct epoll_event event = {.events = EPOLLIN}, events[MAX_EVENTS];
    int one = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    int port = argc > 1 ? atoi(argv[1]) : 0;
    struct sockaddr_in own = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGPIPE, SIG_IGN);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener, (struct sockaddr *)&own, sizeof own) || listen(listener, 4096)) {
        perror("listen");
        return 1;
    }
    int epoll_fd = epoll_create1(0);
    event.data.fd = listener;
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &event);
    puts("ready");
    fflush(stdout);
    for (;;) {
        int count = epoll_wait(epoll_fd, events, MAX_EVENTS, -1);
        for (int i = 0; i < count; i++) {
            if (events[i].data.fd == listener)
                on_connections(listener, epoll_fd);
            else
                on_request(events[i].data.fd);
        }
    }
}
