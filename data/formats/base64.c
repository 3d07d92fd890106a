/* base64.c: see base64.h. */
#include "data/formats/base64.h"

#include <string.h>

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

static bool is_blank(char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; }

bool base64_decode(uint8_t *out, size_t *n_bytes, const char *letters, size_t n)
{
    uint32_t v = 0;
    int held = 0, padding = 0; /* letters of the present group, '=' among them */
    *n_bytes = 0;
    for (size_t i = 0; i < n; i++) {
        const char *at = letters[i] ? strchr(LETTERS, letters[i]) : NULL;
        if (is_blank(letters[i]))
            continue;
        if (at ? padding > 0 : letters[i] != '=' || held < 2)
            return false;
        v = v << 6 | (at ? (uint32_t)(at - LETTERS) : 0);
        padding += !at;
        if (++held < 4)
            continue;
        for (int byte = 0; byte < 3 - padding; byte++)
            out[(*n_bytes)++] = (uint8_t)(v >> (16 - 8 * byte));
        held = 0;
    }
    return held == 0;
}
