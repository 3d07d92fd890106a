/* q8_0.h: llama.cpp's type of 8 bits: blocks of 32 numbers, each a scale d in half precision and 32 bytes q, x = d·q. For `convert`.
 * Source: quantize_row_q8_0_ref of ggml: d = max|x| / 127, q = x · (1/d) rounded half away from zero, with d before its rounding to half.
 */
#ifndef GENLLAVA_DATA_FORMATS_Q8_0_H
#define GENLLAVA_DATA_FORMATS_Q8_0_H

#include <stddef.h>
#include <stdint.h>

enum { Q8_0_BLOCK = 32, Q8_0_BYTES = 34 /* of a block */ };
#define Q8_0_MOST (127.0f * 65504.0f) /* the largest |x| */

/* n is a multiple of 32. Every |x| must be finite and at most Q8_0_MOST. */
void q8_0_from_f32(void *out, const float *x, size_t n);
void q8_0_to_f32(float *out, const void *blocks, size_t n);
#endif
