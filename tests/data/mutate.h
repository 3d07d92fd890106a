/* mutate.h: deterministic damage for parsers: every cut, then flipped bits, changed, removed and repeated bytes. */
#ifndef GENLLAVA_TESTS_DATA_MUTATE_H
#define GENLLAVA_TESTS_DATA_MUTATE_H

#include <stdint.h>
#include <string.h>

#include "kernels/base/philox.h"

/* Damages text[0..n) (n >= 1, room for n + 64 bytes) in the way of `round`; returns the new length. */
static inline size_t mutate(char *text, size_t n, uint32_t round)
{
    static const char BYTES[] = "{}[]\",:\\0-1e.\n \xff\xc3u";
    if (round < n)
        return round;
    Philox4 r = philox4x32(7, round, 0, 0, 0);
    for (uint32_t k = 0; k <= r.v[0] % 3; k++) {
        Philox4 q = philox4x32(7, round, k + 1, 0, 0);
        size_t at = q.v[0] % n, span = 1 + q.v[2] % 16;
        switch (q.v[1] % 4) {
        case 0: text[at] = (char)(text[at] ^ 1 << (q.v[2] % 8)); break;
        case 1: text[at] = BYTES[q.v[2] % (sizeof BYTES - 1)]; break;
        case 2:
            if (span < n - at) {
                memmove(text + at, text + at + span, n - at - span);
                n -= span;
            }
            break;
        default: memmove(text + at + span, text + at, n - at); n += span;
        }
    }
    return n;
}
#endif
