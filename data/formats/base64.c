/* base64.c: see base64.h. */
#include "data/formats/base64.h"

static const char LETTERS[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void base64_encode(char *out, const uint8_t *bytes, size_t n)
{
    for (; n >= 3; n -= 3, bytes += 3, out += 4) {
        uint32_t v = (uint32_t)bytes[0] << 16 | (uint32_t)bytes[1] << 8 | bytes[2];
        out[0] = LETTERS[v >> 18];
        out[1] = LETTERS[v >> 12 & 63];
        out[2] = LETTERS[v >> 6 & 63];
        out[3] = LETTERS[v & 63];
    }
    if (!n)
        return;
    uint32_t v = (uint32_t)bytes[0] << 16 | (n == 2 ? (uint32_t)bytes[1] << 8 : 0);
    out[0] = LETTERS[v >> 18];
    out[1] = LETTERS[v >> 12 & 63];
    out[2] = n == 2 ? LETTERS[v >> 6 & 63] : '=';
    out[3] = '=';
}
