// Heartbeats to compare with: one hash table, RegisterPk and RegisterPeer, no rules.
//
//   udp_srv PORT batch     recvmmsg() and sendmmsg(), 64 datagrams at a time
//   udp_srv PORT single    recvfrom() and sendto()
//
// Prints "ready".
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "scan.h"

enum { REGISTER_PEER = 6, REGISTER_PK = 15, TABLE = 1 << 21, ID_BYTES = 24, BATCH = 64 };
enum { DATAGRAM_BYTES = 2048, RECEIVE_BUFFER_BYTES = 4 << 20, SINGLE_TURNS = 256, BATCH_TURNS = 8 };

struct device {
    u8 id[ID_BYTES];
    size_t id_size;
    struct sockaddr_in address;
    double heard_s;
};

static struct device *devices;
static const u8 KNOWN[] = {0x3a, 0}, UNKNOWN[] = {0x3a, 2, 0x10, 1}, REGISTERED[] = {0x82, 1, 0};

static double now_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

// Return the device's place in the table; it is free if id_size is 0.
static struct device *place_of(struct span id) {
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < id.size; i++)
        hash = (hash ^ id.at[i]) * 16777619u;
    for (;; hash++) {
        struct device *device = &devices[hash % TABLE];
        if (!device->id_size ||
            (device->id_size == id.size && !memcmp(device->id, id.at, id.size)))
            return device;
    }
}

static struct span answer_to(struct span datagram, const struct sockaddr_in *from, double t) {
    unsigned field;
    uint64_t value;
    struct span body, nothing = {0, 0};
    if (!scan_field(&datagram, &field, &value, &body) ||
        (field != REGISTER_PEER && field != REGISTER_PK))
        return nothing;
    struct span id = scan_bytes(body, 1);
    if (!id.size || id.size > ID_BYTES)
        return nothing;
    struct device *device = place_of(id);
    if (!device->id_size && field == REGISTER_PEER)
        return (struct span){UNKNOWN, sizeof UNKNOWN};
    memcpy(device->id, id.at, id.size);
    device->id_size = id.size;
    device->address = *from;
    device->heard_s = t;
    return field == REGISTER_PK ? (struct span){REGISTERED, sizeof REGISTERED}
                                : (struct span){KNOWN, sizeof KNOWN};
}

static void serve_single(int fd) {
    static u8 in[DATAGRAM_BYTES];
    double t = now_s();
    for (int i = 0; i < SINGLE_TURNS; i++) {
        struct sockaddr_in from;
        socklen_t length = sizeof from;
        ssize_t got = recvfrom(fd, in, sizeof in, 0, (struct sockaddr *)&from, &length);
        if (got < 0)
            return;
        struct span answer = answer_to((struct span){in, (size_t)got}, &from, t);
        if (answer.size)
            sendto(fd, answer.at, answer.size, 0, (struct sockaddr *)&from, length);
    }
}

static struct mmsghdr received[BATCH], answers[BATCH];
static struct iovec in_vector[BATCH], out_vector[BATCH];
static struct sockaddr_in names[BATCH];
static u8 in_data[BATCH][DATAGRAM_BYTES];

static void prepare_batch(void) {
    for (int i = 0; i < BATCH; i++) {
        in_vector[i] = (struct iovec){in_data[i], DATAGRAM_BYTES};
        received[i].msg_hdr = (struct msghdr){
            .msg_iov = &in_vector[i], .msg_iovlen = 1, .msg_name = &names[i]};
        answers[i].msg_hdr = (struct msghdr){
            .msg_iov = &out_vector[i], .msg_iovlen = 1, .msg_namelen = sizeof names[i]};
    }
}

static int answer_batch(int count, double t) {
    int answered = 0;
    for (int i = 0; i < count; i++) {
        struct span datagram = {in_data[i], received[i].msg_len};
        struct span answer = answer_to(datagram, &names[i], t);
        if (!answer.size)
            continue;
        out_vector[answered] = (struct iovec){(void *)answer.at, answer.size};
        answers[answered++].msg_hdr.msg_name = &names[i];
    }
    return answered;
}

static void serve_batch(int fd) {
    double t = now_s();
    for (int turn = 0; turn < BATCH_TURNS; turn++) {
        for (int i = 0; i < BATCH; i++)
            received[i].msg_hdr.msg_namelen = sizeof names[i];
        int count = recvmmsg(fd, received, BATCH, MSG_DONTWAIT, NULL);
        if (count <= 0)
            return;
        int answered = answer_batch(count, t);
        for (int sent = 0; sent < answered;) {
            int n = sendmmsg(fd, answers + sent, (unsigned)(answered - sent), 0);
            if (n <= 0)
                break;
            sent += n;
        }
        if (count < BATCH)
            return;
    }
}

int main(int argc, char **argv) {
    struct epoll_event event = {.events = EPOLLIN};
    int size = RECEIVE_BUFFER_BYTES, fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    int port = argc > 1 ? atoi(argv[1]) : 0;
    void (*serve)(int) = argc > 2 && !strcmp(argv[2], "single") ? serve_single : serve_batch;
    struct sockaddr_in own = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    devices = calloc(TABLE, sizeof *devices);
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    if (!devices || bind(fd, (struct sockaddr *)&own, sizeof own)) {
        perror("bind");
        return 1;
    }
    prepare_batch();
    int epoll_fd = epoll_create1(0);
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event);
    puts("ready");
    fflush(stdout);
    for (;;) {
        epoll_wait(epoll_fd, &event, 1, -1);
        serve(fd);
    }
}
