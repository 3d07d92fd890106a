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

/* Where the last character of text[0..n) begins, n at least 1. */
static size_t last_character(const char *text, size_t n)
{
    size_t last = n - 1;
    for (int i = 0; i < 3 && last && continues((unsigned char)text[last]); i++)
        last--;
    return last;
}

void utf8_strip(const char **text, size_t *n)
{
    uint32_t c;
    for (int k; *n && (k = utf8_decode(*text, *n, &c)) && utf8_is_space(c); *text += k, *n -= (size_t)k)
        ;
    while (*n) {
        size_t last = last_character(*text, *n);
        if ((size_t)utf8_decode(*text + last, *n - last, &c) != *n - last || !utf8_is_space(c))
            break;
        *n = last;
    }
}

size_t utf8_whole(const char *text, size_t n)
{
    static const unsigned char LEADS[] = {0xC2, 0xE0, 0xF0, 0xF5}; /* from the first of these to the last: of 2, 3 and 4 bytes */
    size_t last = n ? last_character(text, n) : 0, left = n - last;
    unsigned char lead = n ? (unsigned char)text[last] : 0;
    for (size_t k = 0; k < 3; k++)
        if (lead >= LEADS[k] && lead < LEADS[k + 1] && left < k + 2)
            return last;
    return n;
}

bool utf8_ends(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);
    return n >= m && !strcmp(text + n - m, end);
}

int utf8_columns(const char *text, size_t n)
{
    int columns = 0;
    for (size_t i = 0; i < n; i++)
        columns += !continues((unsigned char)text[i]);
    return columns;
}

/* ---------------------------------------------------------------- shown */

enum { SHOWN_BYTES = 8 }; /* the longest form of a character, with its NUL */

static bool is_obeyed(uint32_t c)
{
    return c < 0x20 || (c >= 0x7F && c <= 0x9F) || (c >= 0x2028 && c <= 0x202E && c != 0x202F) || (c >= 0x2066 && c <= 0x2069);
}

static const char *short_escape(uint32_t c, Utf8Form form)
{
    if (form == UTF8_VALID)
        return NULL;
    switch (c) {
    case '\n': return form == UTF8_TEXT ? NULL : "\\n";
    case '\t': return form == UTF8_TEXT ? NULL : "\\t";
    case '\r': return "\\r";
    case '"': return form == UTF8_JSON ? "\\\"" : NULL;
    case '\\': return form == UTF8_JSON ? "\\\\" : NULL;
    default: return NULL;
    }
}

/* Bytes at the beginning of text[0..n), where no character stands, that could have begun one: the "maximal subpart" of Unicode 3.9; at
 * least 1. */
static size_t damaged_bytes(const char *text, size_t n)
{
    /* The lowest and the highest byte that may follow; one of them fits where a range is smaller. */
    static const unsigned char FILLS[] = {0x80, 0xBF};
    for (size_t k = n < 3 ? n : 3; k > 1; k--)
        for (size_t f = 0; f < sizeof FILLS; f++) {
            char filled[4];
            memset(filled, FILLS[f], sizeof filled);
            memcpy(filled, text, k);
            if ((size_t)utf8_decode(filled, sizeof filled, NULL) > k)
                return k;
        }
    return 1;
}

/* The form of the first character of text[0..n), n at least 1, in out; returns its bytes, and in *taken those of the character. */
static size_t show_character(char out[SHOWN_BYTES], const char *text, size_t n, Utf8Form form, size_t *taken)
{
    uint32_t c;
    size_t length = (size_t)utf8_decode(text, n, &c);
    bool for_people = form == UTF8_TEXT || form == UTF8_LINE;
    const char *escape = length ? short_escape(c, form) : for_people ? NULL : UTF8_REPLACEMENT;
    *taken = length ? length : for_people ? 1 : damaged_bytes(text, n);
    if (escape)
        return (size_t)snprintf(out, SHOWN_BYTES, "%s", escape);
    if (!length)
        return (size_t)snprintf(out, SHOWN_BYTES, "\\x%02x", (unsigned char)*text);
    if (is_obeyed(c) && form != UTF8_VALID && !(form == UTF8_TEXT && (c == '\n' || c == '\t')))
        return (size_t)snprintf(out, SHOWN_BYTES, form == UTF8_JSON || c > 0xFF ? "\\u%04x" : "\\x%02x", c);
    memcpy(out, text, length);
    return length;
}

size_t utf8_show(char *out, size_t room, const char *text, size_t n, Utf8Form form)
{
    size_t used = 0;
    char shown[SHOWN_BYTES];
    for (size_t i = 0, taken; i < n; i += taken) {
        size_t length = show_character(shown, text + i, n - i, form, &taken);
        if (used + length >= room)
            break;
        memcpy(out + used, shown, length);
        used += length;
    }
    out[used] = 0;
    return used;
}

/* Bytes at the start of text[0..n) that every form shows as they are. */
static size_t plain_run(const char *text, size_t n)
{
    size_t i = 0;
    while (i < n && text[i] >= ' ' && text[i] < 0x7f && text[i] != '"' && text[i] != '\\')
        i++;
    return i;
}

void utf8_put(FILE *out, const char *text, size_t n, Utf8Form form)
{
    char shown[SHOWN_BYTES];
    for (size_t i = 0, taken; i < n; i += taken) {
        taken = plain_run(text + i, n - i);
        if (taken)
            fwrite(text + i, 1, taken, out);
        else
            fwrite(shown, 1, show_character(shown, text + i, n - i, form, &taken), out);
    }
}

void utf8_cell(FILE *out, const char *text, int width)
{
    char shown[SHOWN_BYTES];
    int columns = 0;
    size_t n = strlen(text);
    for (size_t i = 0, taken; i < n; i += taken) {
        size_t length = show_character(shown, text + i, n - i, UTF8_LINE, &taken);
        fwrite(shown, 1, length, out);
        columns += utf8_columns(shown, length);
    }
    fprintf(out, "%*s", columns < width ? width - columns : 0, "");
}
