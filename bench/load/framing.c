#include "framing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LAST = 0x80, RESERVED = 0x70, MASKED = 0x80 };
enum { CONTINUATION = 0, BINARY = 2, CLOSE = 8, PING = 9, PONG = 10 };

static size_t put_big_endian(u8 *out, uint64_t value, size_t size) {
    for (size_t i = 0; i < size; i++)
        out[i] = (u8)(value >> (8 * (size - 1 - i)));
    return size;
}

static size_t put_websocket_head(u8 *out, size_t size, u8 masked) {
    out[0] = LAST | BINARY;
    if (size < 126) {
        out[1] = (u8)(masked | size);
        return 2;
    }
    out[1] = masked | (size < 1 << 16 ? 126 : 127);
    return 2 + put_big_endian(out + 2, size, size < 1 << 16 ? 2 : 8);
}

size_t put_server_head(u8 *out, enum framing framing, size_t size) {
    if (framing == RAW)
        return 0;
    return framing == FRAMES ? put_frame_head(out, size) : put_websocket_head(out, size, 0);
}

size_t put_message(u8 *out, enum framing framing, const void *data, size_t size,
                   uint32_t mask) {
    u8 key[MASK_BYTES];
    if (framing != WEBSOCKET) {
        size_t head = put_server_head(out, framing, size);
        memcpy(out + head, data, size);
        return head + size;
    }
    size_t head = put_websocket_head(out, size, MASKED);
    memcpy(key, &mask, MASK_BYTES);
    memcpy(out + head, key, MASK_BYTES);
    head += MASK_BYTES;
    for (size_t i = 0; i < size; i++)
        out[head + i] = ((const u8 *)data)[i] ^ key[i % MASK_BYTES];
    return head + size;
}

static size_t read_frame_head(struct head *head, const u8 *data, size_t have) {
    size_t size = (data[0] & 3u) + 1;
    if (have < size)
        return 0;
    head->body = 0;
    for (size_t i = size; i-- > 0;)
        head->body = head->body << 8 | data[i];
    head->body >>= 2;
    head->ends_message = true;
    head->is_control = false;
    return size;
}

static void check_websocket_head(const u8 *data) {
    u8 opcode = data[0] & 15;
    if (opcode == CLOSE) {
        fprintf(stderr, "the server closed a WebSocket\n");
        exit(3);
    }
    bool known = opcode == CONTINUATION || opcode == BINARY || opcode == PING || opcode == PONG;
    if (!known || data[0] & RESERVED || data[1] & MASKED) {
        fprintf(stderr, "no frame of a server: %02x %02x\n", data[0], data[1]);
        exit(3);
    }
}

static size_t read_websocket_head(struct head *head, const u8 *data, size_t have) {
    if (have < 2)
        return 0;
    check_websocket_head(data);
    size_t more = data[1] == 127 ? 8 : data[1] == 126 ? 2 : 0;
    if (have < 2 + more)
        return 0;
    head->body = more ? 0 : data[1];
    for (size_t i = 0; i < more; i++)
        head->body = head->body << 8 | data[2 + i];
    head->ends_message = data[0] & LAST;
    head->is_control = (data[0] & 15) >= CLOSE;
    return 2 + more;
}

size_t read_head(struct head *head, enum framing framing, const u8 *data, size_t have) {
    if (!have)
        return 0;
    return framing == FRAMES ? read_frame_head(head, data, have)
                             : read_websocket_head(head, data, have);
}
