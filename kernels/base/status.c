/* status.c: the kinds of failure, their exit codes, and the thread's sentence about the last one (status.h). */
#include "kernels/base/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "kernels/base/utf8.h"

static _Thread_local char message[STATUS_BYTES];

/* The sentence may hold names from anywhere. A format that breaks no line itself, and is not just lines gathered elsewhere, makes one line.
 */
size_t status_text_of(char *out, size_t room, const char *format, va_list args)
{
    char text[STATUS_BYTES]; /* the arguments may point into `out` */
    vsnprintf(text, sizeof text, format, args);
    return utf8_show(out, room, text, utf8_whole(text, strlen(text)),
                     strchr(format, '\n') || !strcmp(format, "%s") ? UTF8_TEXT : UTF8_LINE);
}

size_t status_text(char *out, size_t room, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    size_t n = status_text_of(out, room, format, args);
    va_end(args);
    return n;
}

Status fail(Status kind, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    status_text_of(message, sizeof message, format, args);
    va_end(args);
    return kind;
}

Status fail_context(Status s, const char *format, ...)
{
    if (s == OK)
        return OK;
    char context[1024], sentence[STATUS_BYTES];
    va_list args;
    va_start(args, format);
    status_text_of(context, sizeof context, format, args);
    va_end(args);
    memcpy(sentence, message, sizeof sentence);
    size_t n = (size_t)snprintf(message, sizeof message, "%s: ", context);
    utf8_show(message + n, sizeof message - n, sentence, strlen(sentence), UTF8_TEXT);
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
