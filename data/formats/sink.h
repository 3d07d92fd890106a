/* sink.h: a file written from its start to its end through a buffer, for the writers of containers. A full disk is ERR_IO. */
#ifndef GENLLAVA_DATA_FORMATS_SINK_H
#define GENLLAVA_DATA_FORMATS_SINK_H

#include <stddef.h>
#include <stdint.h>

#include "kernels/base/status.h"

enum { SINK_BYTES = 1 << 20 };

typedef struct Sink {
    char *path;
    int fd; /* below 0: none */
    size_t buffered;
    uint8_t buffer[SINK_BYTES];
} Sink;

/* Creates or replaces the file. sink_abandon is due after any error. */
MUST_USE Status sink_open(Sink *s, const char *path);
MUST_USE Status sink_put(Sink *s, const void *bytes, size_t n);
/* Syncs and closes the file; the path stays until sink_abandon. */
MUST_USE Status sink_close(Sink *s);
void sink_abandon(Sink *s);
#endif
