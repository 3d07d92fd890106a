/* resize.h: the two inner loops of Pillow's resampling, chosen once for the processor at hand. All choices give the same bytes.
 *
 * A weight is an integer of 22 fractional bits. Sums are 32-bit: sum = 2^21 + Σ pixel·weight, byte = clamp(sum >> 22). */
#ifndef GENLLAVA_DATA_PICTURES_RESIZE_H
#define GENLLAVA_DATA_PICTURES_RESIZE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    RESIZE_BITS = 22,
    RESIZE_GROUP = 4, /* taps come in multiples of this, superfluous ones have weight 0; as many outputs are made at once */
    RESIZE_SLACK = 64 /* bytes behind a row that the loops may write */
};

/* One axis: output i is the sum over j < taps of in[first[i] + j] · weight[i·taps + j]. */
typedef struct ResizeAxis {
    int32_t in, out, taps;
    int32_t *first;  /* [out], and a few copies of the last entry for loops that take several outputs at once; weights likewise */
    int32_t *weight; /* [out, taps] */
    /* The same weights cut in two, weight = 256·high + low with low in 0 … 255, as 16-bit lanes: [out, taps]. */
    int16_t *high, *low;
    bool narrow;  /* every weight fits the cut form (they always did; the wide form is there for the case that they do not) */
    size_t reach; /* bytes of a row of RGB that the loops may read from its start */
} ResizeAxis;

typedef struct ResizeLoops {
    const char *name;
    /* dst [out,3] from row [in,3], two rows at once (which may be the same); reads axis->reach bytes of a row, may write RESIZE_SLACK
     * bytes behind a dst. */
    void (*across)(uint8_t *const dst[2], const uint8_t *const row[2], const ResizeAxis *axis);
    /* dst [n] from axis->taps rows of n bytes, weighted as output `y` of the axis says. Writes n bytes exactly. */
    void (*down)(uint8_t *dst, const uint8_t *const *rows, size_t n, const ResizeAxis *axis, int32_t y);
} ResizeLoops;

extern const ResizeLoops RESIZE_PLAIN; /* C; for any weights */
const ResizeLoops *resize_loops(void); /* the fastest here; for narrow weights */
#endif
