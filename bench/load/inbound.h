// Messages as they arrive at one side of a session: taken apart and checked.
#ifndef BENCH_INBOUND_H
#define BENCH_INBOUND_H
#include "framing.h"

// The messages that one side sends in turn, all of one size; after the last the first.
struct plain {
    u8 *bytes;
    size_t size, count;
};

struct inbound {
    enum framing framing; // FRAMES or WEBSOCKET
    const struct plain *plain;
    bool compares;   // every byte, and not lengths alone
    size_t expected; // the message that comes next
    u8 head[MAX_HEAD_BYTES];
    size_t head_bytes; // of a head that is not complete
    struct head frame;
    size_t body_left, length; // to come of the frame; there of the message
    double received;          // whole messages
    unsigned long long bad;   // pieces with wrong bytes
};

// Take what arrived.  A message of another length ends the program.
void inbound_take(struct inbound *inbound, const u8 *data, size_t size);
// Go over so many bytes, no more than body_left, that nobody looked at.
void inbound_skip(struct inbound *inbound, size_t size);
#endif
