/* log.c: writes messages to stderr, as text or as JSON (log.h). */
#include "kernels/base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "kernels/base/utf8.h"

static LogLevel highest = LOG_INFO;
static bool as_json, line_open;
static int rank = -1; /* of several processes */

void log_set(LogLevel level, bool json)
{
    highest = level;
    as_json = json;
}

void log_rank(int number, LogLevel level)
{
    rank = number;
    highest = level < highest ? level : highest;
}

/* One write a line, so that lines of several threads and processes do not mix. */
static void write_json(const char *level, const char *text)
{
    char out[2 * STATUS_BYTES + 256];
    size_t n = (size_t)snprintf(out, sizeof out, "{\"time\":%.3f,\"level\":\"%s\",", (double)time(NULL), level);
    if (rank >= 0)
        n += (size_t)snprintf(out + n, sizeof out - n, "\"rank\":%d,", rank);
    n += (size_t)snprintf(out + n, sizeof out - n, "\"message\":\"");
    n += utf8_show(out + n, sizeof out - n - sizeof "\"}\n", text, strlen(text), UTF8_JSON);
    fwrite(out, 1, n + (size_t)snprintf(out + n, sizeof out - n, "\"}\n"), stderr);
}

/* "FILE:LINE:COLUMN: ..." stays at the start of its line, where editors look for it. */
static bool has_position(const char *text)
{
    int line, column, used = 0;
    size_t n = strcspn(text, ":\n");
    return text[n] == ':' && sscanf(text + n, ":%d:%d: %n", &line, &column, &used) == 2 && used;
}

static void say(LogLevel level, const char *name, const char *prefix, const char *format, va_list args)
{
    if (level > highest)
        return;
    char text[STATUS_BYTES];
    status_text_of(text, sizeof text, format, args);
    if (line_open)
        fputc('\n', stderr);
    line_open = false;
    if (as_json)
        write_json(name, text);
    else if (rank < 0 || has_position(text))
        fprintf(stderr, "%s%s\n", has_position(text) ? "" : prefix, text);
    else
        fprintf(stderr, "[rank %d] %s%s\n", rank, prefix, text);
}

#define LOG_FUNCTION(function, level, name, prefix)      \
    void function(const char *format, ...)               \
    {                                                    \
        va_list args;                                    \
        va_start(args, format);                          \
        say(level, name, prefix, format, args);          \
        va_end(args);                                    \
    }
LOG_FUNCTION(log_info, LOG_INFO, "info", "")
LOG_FUNCTION(log_warn, LOG_WARN, "warning", "warning: ")
LOG_FUNCTION(log_error, LOG_ERROR, "error", "error: ")

void log_progress(const char *format, ...)
{
    if (highest < LOG_INFO || as_json || !isatty(STDERR_FILENO))
        return;
    char text[STATUS_BYTES];
    va_list args;
    va_start(args, format);
    status_text_of(text, sizeof text, format, args);
    va_end(args);
    fprintf(stderr, "\r\033[K%s", text);
    line_open = true;
}
