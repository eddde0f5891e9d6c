// Relayed sessions: both sides connect, by TCP or WebSocket, present the first message of
// a real client, and make sure that they were paired with each other.
#ifndef BENCH_SESSIONS_H
#define BENCH_SESSIONS_H
#include "framing.h"

#include <stdio.h>

// One session: side 0 is A, side 1 is B.  B comes first, as it does in life.
struct session {
    int fd[2];
};

struct sessions {
    struct target target[2];
    enum framing framing[2]; // after the pairing; RAW if both sides come by TCP
    const char *key;         // the licence key both sides present; may be empty
    FILE *uuids;             // announced uuids, one a line; NULL for random ones
    uint32_t first;          // number of the first session, for own addresses
    int count;
    struct session *list;
};

// Options host, port, source, addresses, key, uuids, sessions, first; a and b (tcp or ws),
// wsport.
void sessions_options(struct sessions *sessions, int count);
// End the program, because `what` is for bytes alone, if a side comes by WebSocket.
void sessions_need_tcp(const struct sessions *sessions, const char *what);
// Open sessions [from, to): connected, paired, checked; blocking sockets.
void sessions_open(struct sessions *sessions, int from, int to);
void sessions_set_nonblocking(struct sessions *sessions);
#endif
