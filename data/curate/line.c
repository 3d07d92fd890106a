/* line.c: see line.h. */
#include "data/curate/line.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "data/formats/base64.h"
#include "kernels/base/arena.h"
#include "kernels/base/utf8.h"

/* Room for n more bytes and a NUL; NULL without memory. */
static char *reserve(Line *l, size_t n)
{
    size_t wanted = l->n + n + 1;
    if (wanted > l->room) {
        size_t room = wanted + wanted / 2;
        char *grown = mem_grow(l->text, room);
        l->no_memory |= !grown;
        if (!grown)
            return NULL;
        l->text = grown;
        l->room = room;
    }
    return l->text + l->n;
}

void line_put(Line *l, const char *text, size_t n)
{
    char *at = reserve(l, n);
    if (!at)
        return;
    if (n)
        memcpy(at, text, n);
    l->n += n;
}

void line_print(Line *l, const char *format, ...)
{
    char text[256];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    line_put(l, text, n < (int)sizeof text ? (size_t)n : sizeof text - 1);
}

void line_escape(Line *l, const char *text, size_t n)
{
    enum { LONGEST = 6 }; /* \u001b */
    char *at = reserve(l, LONGEST * n);
    if (at)
        l->n += utf8_show(at, LONGEST * n + 1, text, n, UTF8_JSON);
}

void line_quote(Line *l, const char *text)
{
    line_put(l, text ? "\"" : "null", text ? 1 : 4);
    if (!text)
        return;
    line_escape(l, text, strlen(text));
    line_put(l, "\"", 1);
}

void line_base64(Line *l, const uint8_t *bytes, size_t n)
{
    char *at = reserve(l, base64_length(n));
    if (!at)
        return;
    base64_encode(at, bytes, n);
    l->n += base64_length(n);
}

Status line_check(const Line *l) { return l->no_memory ? fail(ERR_NOMEM, "no memory for a line of more than %zu bytes", l->n) : OK; }

void line_free(Line *l)
{
    mem_free(l->text);
    *l = (Line){.text = NULL};
}
