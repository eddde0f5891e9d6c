#include "common.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#ifndef IP_BIND_ADDRESS_NO_PORT
#define IP_BIND_ADDRESS_NO_PORT 24
#endif
#ifndef IPV6_FREEBIND
#define IPV6_FREEBIND 78
#endif

static int option_count;
static char **option_list;
static bool *option_used;

void options_begin(int argc, char **argv) {
    option_count = argc - 1;
    option_list = argv + 1;
    option_used = allocate((size_t)argc, sizeof *option_used);
}

const char *text_option(const char *name, const char *fallback) {
    size_t length = strlen(name);
    const char *value = fallback;
    for (int i = 0; i < option_count; i++) {
        if (strncmp(option_list[i], name, length) || option_list[i][length] != '=')
            continue;
        option_used[i] = true;
        value = option_list[i] + length + 1;
    }
    return value;
}

double number_option(const char *name, double fallback) {
    const char *text = text_option(name, NULL);
    char *end;
    if (!text)
        return fallback;
    double value = strtod(text, &end);
    if (*end || end == text) {
        fprintf(stderr, "%s=%s is not a number\n", name, text);
        exit(2);
    }
    return value;
}

void options_end(void) {
    for (int i = 0; i < option_count; i++) {
        if (option_used[i])
            continue;
        fprintf(stderr, "unknown option %s\n", option_list[i]);
        exit(2);
    }
}

void die(const char *what) {
    perror(what);
    exit(1);
}

void *allocate(size_t count, size_t size) {
    void *memory = calloc(count ? count : 1, size);
    if (!memory)
        die("memory");
    return memory;
}

double now_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

void prepare_process(void) {
    struct rlimit limit;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGPIPE, SIG_IGN);
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

bool become_realtime(void) {
    struct sched_param parameters = {.sched_priority = 2};
    return sched_setscheduler(0, SCHED_FIFO, &parameters) == 0;
}

// The address of a host by its name or number, IPv4 or IPv6; returns its size.
static socklen_t resolve(const char *host, int family, const char *port,
                         struct sockaddr_storage *address) {
    struct addrinfo hints = {.ai_family = family, .ai_socktype = SOCK_STREAM}, *found;
    int error = getaddrinfo(host, port, &hints, &found);
    if (error) {
        fprintf(stderr, "%s, port %s: %s\n", host, port, gai_strerror(error));
        exit(2);
    }
    socklen_t size = found->ai_addrlen;
    memcpy(address, found->ai_addr, size);
    freeaddrinfo(found);
    return size;
}

static bool is_ipv4_loopback(const struct sockaddr_storage *address) {
    const struct sockaddr_in *ipv4 = (const struct sockaddr_in *)address;
    return ipv4->sin_family == AF_INET && ntohl(ipv4->sin_addr.s_addr) >> 24 == 127;
}

void target_options(struct target *target, uint32_t addresses) {
    const char *host = text_option("host", "127.0.0.1"), *port = text_option("port", "0");
    target->to_size = resolve(host, AF_UNSPEC, port, &target->to);
    const char *source =
        text_option("source", is_ipv4_loopback(&target->to) ? "127.30.0.1" : "");
    if (*source)
        resolve(source, target->to.ss_family, "0", &target->source);
    target->addresses = (uint32_t)number_option("addresses", addresses);
    if (!target->addresses || !strcmp(port, "0")) {
        fprintf(stderr, "port and addresses must be above 0\n");
        exit(2);
    }
}

// Count an own address up: of IPv4 all of it, of IPv6 the /64, by which servers count.
static void count_up(struct sockaddr_storage *own, uint32_t which) {
    struct sockaddr_in6 *ipv6 = (struct sockaddr_in6 *)own;
    struct sockaddr_in *ipv4 = (struct sockaddr_in *)own;
    uint32_t *part = own->ss_family == AF_INET6 ? &ipv6->sin6_addr.s6_addr32[1]
                                                : &ipv4->sin_addr.s_addr;
    *part = htonl(ntohl(*part) + which);
}

void bind_source(int fd, const struct target *target, uint32_t which) {
    int one = 1;
    struct sockaddr_storage own = target->source;
    if (own.ss_family == AF_UNSPEC)
        return;
    count_up(&own, which % target->addresses);
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
    setsockopt(fd, IPPROTO_IPV6, IPV6_FREEBIND, &one, sizeof one);
    if (bind(fd, (struct sockaddr *)&own, target->to_size))
        die("bind to own address");
}

int open_socket(const struct target *target, int type) {
    int fd = socket(target->to.ss_family, type, 0);
    if (fd < 0)
        die("socket");
    return fd;
}

int dial(const struct target *target, uint32_t which, bool blocking) {
    int one = 1, fd = open_socket(target, SOCK_STREAM | (blocking ? 0 : SOCK_NONBLOCK));
    bind_source(fd, target, which);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    const struct sockaddr *to = (const struct sockaddr *)&target->to;
    if (connect(fd, to, target->to_size) && errno != EINPROGRESS)
        die("connect");
    return fd;
}

void write_whole(int fd, const void *data, size_t size) {
    const u8 *next = data;
    while (size) {
        ssize_t written = write(fd, next, size);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            die("write");
        next += written;
        size -= (size_t)written;
    }
}

bool read_whole(int fd, void *data, size_t size, double timeout_s) {
    u8 *next = data;
    double until_s = now_s() + timeout_s;
    while (size) {
        struct pollfd readable = {.fd = fd, .events = POLLIN};
        int left_ms = (int)((until_s - now_s()) * 1000);
        if (left_ms <= 0 || poll(&readable, 1, left_ms) <= 0)
            return false;
        ssize_t got = read(fd, next, size);
        if (got <= 0)
            return false;
        next += got;
        size -= (size_t)got;
    }
    return true;
}

size_t put_varint(u8 *out, uint64_t value) {
    size_t size = 0;
    for (; value > 127; value >>= 7)
        out[size++] = (u8)(value | 128);
    out[size++] = (u8)value;
    return size;
}

size_t put_number(u8 *out, unsigned field, uint64_t value) {
    size_t size = put_varint(out, field << 3);
    return size + put_varint(out + size, value);
}

size_t put_bytes(u8 *out, unsigned field, const void *data, size_t size) {
    size_t head = put_varint(out, field << 3 | 2);
    head += put_varint(out + head, size);
    memcpy(out + head, data, size);
    return head + size;
}

size_t put_frame_head(u8 *out, size_t size) {
    unsigned extra = size < 1 << 6 ? 0 : size < 1 << 14 ? 1 : size < 1 << 22 ? 2 : 3;
    uint32_t head = (uint32_t)(size << 2 | extra);
    for (unsigned i = 0; i <= extra; i++)
        out[i] = (u8)(head >> (8 * i));
    return extra + 1;
}

size_t put_frame(u8 *out, const void *payload, size_t size) {
    size_t head = put_frame_head(out, size);
    memcpy(out + head, payload, size);
    return head + size;
}

static double thread_cpu_s(const char *folder) {
    char path[384];
    unsigned long long run_ns = 0;
    snprintf(path, sizeof path, "%s/schedstat", folder);
    FILE *file = fopen(path, "r");
    if (!file)
        return 0;
    if (fscanf(file, "%llu", &run_ns) != 1)
        run_ns = 0;
    fclose(file);
    return (double)run_ns * 1e-9;
}

static double children_cpu_s(const char *folder) {
    char path[384];
    double sum_s = 0;
    int child;
    snprintf(path, sizeof path, "%s/children", folder);
    FILE *file = fopen(path, "r");
    if (!file)
        return 0;
    while (fscanf(file, "%d", &child) == 1)
        sum_s += cpu_s(child);
    fclose(file);
    return sum_s;
}

double cpu_s(int pid) {
    char path[64], folder[352];
    double sum_s = 0;
    struct dirent *entry;
    snprintf(path, sizeof path, "/proc/%d/task", pid);
    DIR *threads = pid ? opendir(path) : NULL;
    if (!threads)
        return 0;
    while ((entry = readdir(threads))) {
        if (entry->d_name[0] == '.')
            continue;
        snprintf(folder, sizeof folder, "%s/%s", path, entry->d_name);
        sum_s += thread_cpu_s(folder) + children_cpu_s(folder);
    }
    closedir(threads);
    return sum_s;
}

void window_options(struct window *window, double warm_s) {
    memset(window, 0, sizeof *window);
    window->warm_s = number_option("warm", warm_s);
    window->seconds = number_option("seconds", 1);
    window->pid = (int)number_option("pid", 0);
}

static volatile sig_atomic_t told_to_end;

static void on_sigterm(int number) {
    (void)number;
    told_to_end = 1;
}

void window_begin(struct window *window) {
    signal(SIGTERM, on_sigterm);
    window->began_s = now_s();
}

enum phase window_advance(struct window *window) {
    double t = now_s() - window->began_s;
    if (!window->measuring) {
        if (t < window->warm_s)
            return WARMING;
        window->measuring = true;
        printf("START\n");
        fflush(stdout);
        window->cpu_began_s = cpu_s(window->pid);
        window->began_s = now_s();
        return STARTED;
    }
    if (t < window->seconds && !told_to_end)
        return MEASURING;
    window_end(window);
    return OVER;
}

void window_end(struct window *window) {
    window->elapsed_s = now_s() - window->began_s;
    window->cpu_used_s = cpu_s(window->pid) - window->cpu_began_s;
}

void latency_add(struct latencies *latencies, double seconds) {
    if (latencies->count == latencies->room) {
        latencies->room = latencies->room ? latencies->room * 2 : 1 << 16;
        latencies->values =
            realloc(latencies->values, latencies->room * sizeof *latencies->values);
        if (!latencies->values)
            die("memory");
    }
    latencies->values[latencies->count++] = seconds;
}

static int compare_doubles(const void *one, const void *other) {
    double x = *(const double *)one, y = *(const double *)other;
    return x < y ? -1 : x > y;
}

void latency_print(struct latencies *latencies) {
    static const struct {
        const char *name;
        double part;
    } shown[] = {{"p50us", .5}, {"p90us", .9}, {"p99us", .99}, {"p999us", .999}};
    size_t count = latencies->count;
    if (count)
        qsort(latencies->values, count, sizeof *latencies->values, compare_doubles);
    for (size_t i = 0; i < sizeof shown / sizeof *shown; i++) {
        size_t at = (size_t)((double)count * shown[i].part);
        printf("\"%s\":%.1f,", shown[i].name, count ? latencies->values[at] * 1e6 : 0.0);
    }
    printf("\"maxus\":%.1f", count ? latencies->values[count - 1] * 1e6 : 0.0);
}
