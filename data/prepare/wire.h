/* wire.h: a row as bytes, from the process that reads the mixture to those that encode it. One machine, one build: native layout. */
#ifndef GENLLAVA_DATA_PREPARE_WIRE_H
#define GENLLAVA_DATA_PREPARE_WIRE_H

#include "data/records/records.h"

typedef struct Wire {
    uint8_t *bytes;
    size_t n, capacity, at; /* at: reading position */
    bool failed;            /* out of memory while writing; cut short while reading */
} Wire;
void wire_free(Wire *w);

/* A picture of a row, as the reading process numbers it: `is_new` the first time it is met. */
typedef struct WirePicture {
    uint32_t index;
    bool is_new;
    const char *root;
} WirePicture;

/* A row that came over the wire; everything points into the Wire it was read from or into this struct's own memory, reused. */
typedef struct WireRow {
    int64_t sequence;
    Record rec;
    WirePicture *pictures; /* [rec.n_images] */
    int cap_images, cap_turns;
} WireRow;
void wire_row_free(WireRow *r);

void wire_put_row(Wire *w, int64_t sequence, const Record *rec, const WirePicture *pictures);
MUST_USE Status wire_get_row(Wire *w, WireRow *out);

/* A message: its length, then its bytes. Sending to a process that is gone is ERR_INTERNAL; receiving from one is OK with *end. */
MUST_USE Status wire_send(int fd, const Wire *w);
MUST_USE Status wire_receive(int fd, Wire *w, bool *end);
#endif
