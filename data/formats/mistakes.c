/* mistakes.c: see mistakes.h; train, train/config and data/records call it. */
#include "data/formats/mistakes.h"

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "kernels/base/arena.h"

enum { MOST = 20 };

void mistakes_add_line(Mistakes *m, const char *line)
{
    size_t n = strlen(line);
    if (m->n++ >= MOST)
        return;
    char *grown = mem_grow(m->lines, m->length + n + 2);
    m->no_memory |= !grown;
    if (!grown)
        return;
    m->lines = grown;
    m->length += (size_t)snprintf(grown + m->length, n + 2, "%s%s", m->length ? "\n" : "", line);
}

void mistakes_add(Mistakes *m, const char *source, int line, int column, const char *format, ...)
{
    char text[2048], place[32] = "", whole[sizeof text + PATH_MAX];
    va_list args;
    va_start(args, format);
    status_text_of(text, sizeof text, format, args);
    va_end(args);
    if (line)
        snprintf(place, sizeof place, ":%d:%d", line, column);
    status_text(whole, sizeof whole, "%s%s: %s", source, place, text);
    mistakes_add_line(m, whole);
}

Status mistakes_gather(Mistakes *m, Status kind, Status s)
{
    if (s != kind)
        return s;
    mistakes_add_line(m, status_message());
    return OK;
}

Status mistakes_end(Mistakes *m, Status kind, const char *name)
{
    Status s = OK;
    if (m->no_memory)
        s = fail(ERR_NOMEM, "%s: no memory to read it", name);
    else if (m->n > MOST)
        s = fail(kind, "%s\n%s: and %d more", m->lines, name, m->n - MOST);
    else if (m->n)
        s = fail(kind, "%s", m->lines);
    mem_free(m->lines);
    *m = (Mistakes){.lines = NULL};
    return s;
}
