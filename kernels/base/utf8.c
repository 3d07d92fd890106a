/* utf8.c: UTF-8 to characters and back, strictly. For whoever reads or shows text (utf8.h). */
#include "kernels/base/utf8.h"

#include <string.h>

static bool continues(unsigned char b) { return (b & 0xC0) == 0x80; }

int utf8_decode(const char *p, size_t n, uint32_t *c)
{
    const unsigned char *u = (const unsigned char *)p;
    uint32_t value = 0;
    int length = 0;
    if (n < 1)
        return 0;
    if (u[0] < 0x80) {
        value = u[0];
        length = 1;
    } else if (u[0] >= 0xC2 && u[0] <= 0xDF && n >= 2 && continues(u[1])) {
        value = (u[0] & 0x1Fu) << 6 | (u[1] & 0x3Fu);
        length = 2;
    } else if ((u[0] & 0xF0) == 0xE0 && n >= 3 && continues(u[1]) && continues(u[2])) {
        value = (u[0] & 0x0Fu) << 12 | (u[1] & 0x3Fu) << 6 | (u[2] & 0x3Fu);
        length = value < 0x800 || (value >= 0xD800 && value <= 0xDFFF) ? 0 : 3;
    } else if (u[0] >= 0xF0 && u[0] <= 0xF4 && n >= 4 && continues(u[1]) && continues(u[2]) && continues(u[3])) {
        value = (u[0] & 0x07u) << 18 | (u[1] & 0x3Fu) << 12 | (u[2] & 0x3Fu) << 6 | (u[3] & 0x3Fu);
        length = value < 0x10000 || value > 0x10FFFF ? 0 : 4;
    }
    if (length && c)
        *c = value;
    return length;
}

int utf8_encode(uint32_t c, char out[4])
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    int n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    static const unsigned char LEAD[] = {0, 0, 0xC0, 0xE0, 0xF0};
    for (int i = n - 1; i > 0; i--, c >>= 6)
        out[i] = (char)(0x80 | (c & 0x3F));
    out[0] = (char)(LEAD[n] | c);
    return n;
}

bool utf8_is_space(uint32_t c)
{
    return (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x20) || c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) ||
           c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

void utf8_strip(const char **text, size_t *n)
{
    uint32_t c;
    for (int k; *n && (k = utf8_decode(*text, *n, &c)) && utf8_is_space(c); *text += k, *n -= (size_t)k)
        ;
    while (*n) {
        size_t last = *n - 1;
        while (last && ((unsigned char)(*text)[last] & 0xC0) == 0x80)
            last--;
        if (!utf8_decode(*text + last, *n - last, &c) || !utf8_is_space(c))
            break;
        *n = last;
    }
}

bool utf8_ends(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);
    return n >= m && !strcmp(text + n - m, end);
}
