// How messages stand on the wire: behind the heads of frames on TCP (protocol.md 1.3), in
// frames of RFC 6455 on WebSocket, where what a client sends is masked.
#ifndef BENCH_FRAMING_H
#define BENCH_FRAMING_H
#include "common.h"

enum framing { RAW, FRAMES, WEBSOCKET };

enum { MAX_HEAD_BYTES = 14, MASK_BYTES = 4, SOME_MASK = 0x5ac3960f };

// A head as a server sends it.
struct head {
    size_t body;
    bool ends_message; // or else more frames belong to it
    bool is_control;   // a Ping or Pong, no part of any message
};

// Put a whole message as a client sends it; out has room for MAX_HEAD_BYTES more.  RAW is
// a message without a head.  Returns bytes written.
size_t put_message(u8 *out, enum framing framing, const void *data, size_t size,
                   uint32_t mask);
// Put the head with which a server sends a message of this size.
size_t put_server_head(u8 *out, enum framing framing, size_t size);
// Read a head from the first `have` bytes; returns its size, 0 if there must be more.  A
// Close, and what no server may send, ends the program.
size_t read_head(struct head *head, enum framing framing, const u8 *data, size_t have);
#endif
