// What all load generators share: options, clock, sockets, the wire, latencies.
#ifndef BENCH_COMMON_H
#define BENCH_COMMON_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

typedef unsigned char u8;

// Options are given as name=value.  An unknown one ends the program, so every option is
// asked for, once, before options_end().
void options_begin(int argc, char **argv);
const char *text_option(const char *name, const char *fallback);
double number_option(const char *name, double fallback);
void options_end(void);

// Print the text and errno's meaning to stderr, exit with status 1.
void die(const char *what) __attribute__((noreturn));
void *allocate(size_t count, size_t size);

double now_s(void);

// Raise RLIMIT_NOFILE as far as allowed; ignore SIGPIPE; end with whoever started us.
void prepare_process(void);
// Ask for SCHED_FIFO; returns whether it was granted.
bool become_realtime(void);

// Where to connect to, and from where: options host, port, source, addresses.
struct target {
    struct sockaddr_storage to;
    socklen_t to_size;
    struct sockaddr_storage source; // first own address; AF_UNSPEC lets the kernel choose
    uint32_t addresses; // how many own addresses, counted up; of IPv6 each in its own /64
};
void target_options(struct target *target, uint32_t addresses);
// Bind a socket to own address number `which` (modulo the count); the port stays open.
void bind_source(int fd, const struct target *target, uint32_t which);
// A new socket of SOCK_STREAM or SOCK_DGRAM, maybe with SOCK_NONBLOCK.
int open_socket(const struct target *target, int type);
// Start to connect a new TCP socket from own address number `which`; blocking or not.
int dial(const struct target *target, uint32_t which, bool blocking);
void write_whole(int fd, const void *data, size_t size);
// Read exactly size bytes within timeout_s; returns false if that is not to be.
bool read_whole(int fd, void *data, size_t size, double timeout_s);

// Protocol buffers and frames, as far as we need them.  All return bytes written.
size_t put_varint(u8 *out, uint64_t value);
size_t put_number(u8 *out, unsigned field, uint64_t value);
size_t put_bytes(u8 *out, unsigned field, const void *data, size_t size);
size_t put_frame_head(u8 *out, size_t size);
size_t put_frame(u8 *out, const void *payload, size_t size);

// CPU time of a process with all its threads and children, in seconds; 0 for pid 0.
double cpu_s(int pid);

// The measured time: some warming up, then so many seconds, or until SIGTERM.
struct window {
    int pid;
    double warm_s, seconds, began_s, cpu_began_s, elapsed_s, cpu_used_s;
    bool measuring;
};
enum phase { WARMING, STARTED, MEASURING, OVER };
// Options warm, seconds and pid (whose CPU time is measured).
void window_options(struct window *window, double warm_s);
void window_begin(struct window *window);
// STARTED comes exactly once: the counters are to be set to zero then.
enum phase window_advance(struct window *window);
// Take the time and the CPU time used; window_advance() does that itself before OVER.
void window_end(struct window *window);

struct latencies {
    double *values;
    size_t count, room;
};
void latency_add(struct latencies *latencies, double seconds);
// Print "p50us":...,...  as members of a JSON object, without a comma around them.
void latency_print(struct latencies *latencies);
#endif
