/* status.c: the kinds of failure, their exit codes, and the thread's sentence about the last one (status.h). */
#include "kernels/base/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { MESSAGE_MAX = 8192 }; /* a config file with many mistakes fills a screen, not more */

static _Thread_local char message[MESSAGE_MAX];

Status fail(Status kind, const char *format, ...)
{
    char text[MESSAGE_MAX]; /* the arguments may point into the present message */
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    memcpy(message, text, strlen(text) + 1);
    return kind;
}

Status fail_context(Status s, const char *format, ...)
{
    if (s == OK)
        return OK;
    char context[1024], joined[MESSAGE_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(context, sizeof context, format, args);
    va_end(args);
    int n = snprintf(joined, sizeof joined, "%s: ", context);
    if (n < 0 || (size_t)n >= sizeof joined)
        return s;
    size_t room = sizeof joined - (size_t)n - 1, len = strlen(message);
    if (len > room)
        len = room;
    memcpy(joined + n, message, len);
    joined[(size_t)n + len] = 0;
    memcpy(message, joined, (size_t)n + len + 1);
    return s;
}

const char *status_message(void) { return message; }

int status_exit_code(Status s)
{
    static const int CODES[] = {
#define STATUS_CODE(name, code, text) code,
        STATUS_LIST(STATUS_CODE)
#undef STATUS_CODE
    };
    return CODES[s];
}
