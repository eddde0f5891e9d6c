// The little of the wire that the peers need: frames and the fields of one message.
#ifndef BENCH_SCAN_H
#define BENCH_SCAN_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef unsigned char u8;

struct span {
    const u8 *at;
    size_t size;
};

static inline bool scan_varint(struct span *in, uint64_t *value) {
    *value = 0;
    for (unsigned shift = 0; in->size && shift < 64; shift += 7) {
        u8 byte = *in->at++;
        in->size--;
        *value |= (uint64_t)(byte & 127) << shift;
        if (byte < 128)
            return true;
    }
    return false;
}

// Take the next field off the front of a message.  Numbers have value, the rest has data.
static inline bool scan_field(struct span *in, unsigned *field, uint64_t *value,
                              struct span *data) {
    uint64_t tag;
    *data = (struct span){0, 0};
    if (!scan_varint(in, &tag) || !scan_varint(in, value))
        return false;
    *field = (unsigned)(tag >> 3);
    if ((tag & 7) == 0)
        return true;
    if ((tag & 7) != 2 || *value > in->size)
        return false;
    *data = (struct span){in->at, (size_t)*value};
    in->at += *value;
    in->size -= (size_t)*value;
    return true;
}

// Find the bytes of field `wanted`; empty if it is not there.
static inline struct span scan_bytes(struct span in, unsigned wanted) {
    unsigned field;
    uint64_t value;
    struct span data, found = {0, 0};
    while (in.size && scan_field(&in, &field, &value, &data))
        if (field == wanted)
            found = data;
    return found;
}

// Look at the first frame of a stream.  Returns its whole size, header included, and its
// payload; 0 if it is not complete yet, -1 if it is longer than `most`.
static inline long scan_frame(struct span in, size_t most, struct span *payload) {
    if (!in.size)
        return 0;
    size_t head = (in.at[0] & 3) + 1, size = 0;
    if (in.size < head)
        return 0;
    for (size_t i = 0; i < head; i++)
        size |= (size_t)in.at[i] << (8 * i);
    size >>= 2;
    if (size > most)
        return -1;
    if (in.size < head + size)
        return 0;
    *payload = (struct span){in.at + head, size};
    return (long)(head + size);
}
#endif
