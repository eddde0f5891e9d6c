#include "inbound.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void end_frame(struct inbound *inbound) {
    if (inbound->frame.is_control || !inbound->frame.ends_message)
        return;
    if (inbound->length != inbound->plain->size) {
        fprintf(stderr, "a message of %zu bytes became one of %zu\n", inbound->plain->size,
                inbound->length);
        exit(3);
    }
    inbound->length = 0;
    inbound->expected = (inbound->expected + 1) % inbound->plain->count;
    inbound->received++;
}

void inbound_skip(struct inbound *inbound, size_t size) {
    inbound->body_left -= size;
    if (!inbound->frame.is_control)
        inbound->length += size;
    if (!inbound->body_left)
        end_frame(inbound);
}

static void compare(struct inbound *inbound, const u8 *data, size_t size) {
    const struct plain *plain = inbound->plain;
    const u8 *expected = plain->bytes + inbound->expected * plain->size + inbound->length;
    bool fits = inbound->length + size <= plain->size;
    if (!fits || memcmp(data, expected, size))
        inbound->bad++;
}

// Take a head, or the part of it that is here; returns its bytes.
static size_t take_head(struct inbound *inbound, const u8 *data, size_t size) {
    size_t had = inbound->head_bytes, room = MAX_HEAD_BYTES - had;
    size_t part = size < room ? size : room;
    memcpy(inbound->head + had, data, part);
    size_t whole = read_head(&inbound->frame, inbound->framing, inbound->head, had + part);
    inbound->head_bytes = whole ? 0 : had + part;
    if (!whole)
        return part;
    inbound->body_left = inbound->frame.body;
    if (!inbound->body_left)
        end_frame(inbound);
    return whole - had;
}

void inbound_take(struct inbound *inbound, const u8 *data, size_t size) {
    while (size) {
        size_t part = size < inbound->body_left ? size : inbound->body_left;
        if (!part)
            part = take_head(inbound, data, size);
        else {
            if (inbound->compares && !inbound->frame.is_control)
                compare(inbound, data, part);
            inbound_skip(inbound, part);
        }
        data += part;
        size -= part;
    }
}
