/* log.c: writes messages to stderr and to the file of a rank, as text or as JSON (log.h). */
#include "kernels/base/log.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "kernels/base/utf8.h"

enum { MEMBERS_BYTES = 4096, LINE_BYTES = 2 * STATUS_BYTES + MEMBERS_BYTES + 256, EARLY_BYTES = 1 << 15 };
static LogLevel highest = LOG_INFO, shown = LOG_INFO; /* of all, on stderr */
static bool as_json, line_open;
static int rank = -1; /* of several processes */

/* Of a rank: its file or, before there is one, its first messages. Its threads write, too. */
static pthread_mutex_t keeping = PTHREAD_MUTEX_INITIALIZER;
static FILE *file;
static char early[EARLY_BYTES];
static size_t n_early;

void log_level(LogLevel level) { highest = shown = level; }
void log_format(bool json) { as_json = json; }
bool log_is_json(void) { return as_json; }

void log_rank(int number, LogLevel level)
{
    rank = number;
    shown = level < shown ? level : shown;
}

/* members: an object, or NULL. */
static size_t make_json(char out[LINE_BYTES], const char *level, const char *text, const char *members)
{
    const size_t inside = members && strlen(members) > 2 && strlen(members) < MEMBERS_BYTES ? strlen(members) - 2 : 0;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    size_t n =
        (size_t)snprintf(out, LINE_BYTES, "{\"time\":%lld.%03ld,\"level\":\"%s\",", (long long)now.tv_sec, now.tv_nsec / 1000000, level);
    if (rank >= 0)
        n += (size_t)snprintf(out + n, LINE_BYTES - n, "\"rank\":%d,", rank);
    n += (size_t)snprintf(out + n, LINE_BYTES - n, "\"message\":\"");
    n += utf8_show(out + n, LINE_BYTES - MEMBERS_BYTES - n, text, strlen(text), UTF8_JSON);
    return n + (size_t)snprintf(out + n, LINE_BYTES - n, "\"%s%.*s}\n", inside ? "," : "", (int)inside, inside ? members + 1 : "");
}

/* ---------------------------------------------------------------- the file of a rank */

static void write_file(const char *line, size_t n)
{
    if (!file || (fwrite(line, 1, n, file) == n && !fflush(file)))
        return;
    fprintf(stderr, "[rank %d] its log cannot be written: %s\n", rank, strerror(errno));
    file = NULL;
}

static void keep(const char *level, const char *prefix, const char *text, const char *members)
{
    char line[LINE_BYTES], when[32];
    struct tm utc;
    time_t now = time(NULL);
    strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &utc));
    size_t n = as_json ? make_json(line, level, text, members) : (size_t)snprintf(line, sizeof line, "%s %s%s\n", when, prefix, text);
    pthread_mutex_lock(&keeping);
    if (file)
        write_file(line, n);
    else if (n <= sizeof early - n_early) {
        memcpy(early + n_early, line, n);
        n_early += n;
    }
    pthread_mutex_unlock(&keeping);
}

void log_file(FILE *of_rank)
{
    pthread_mutex_lock(&keeping);
    file = of_rank;
    write_file(early, n_early);
    n_early = 0;
    pthread_mutex_unlock(&keeping);
}

/* ---------------------------------------------------------------- messages */

/* "FILE:LINE:COLUMN: ..." stays at the start of its line, where editors look for it. */
static bool has_position(const char *text)
{
    int line, column, used = 0;
    size_t n = strcspn(text, ":\n");
    return text[n] == ':' && sscanf(text + n, ":%d:%d: %n", &line, &column, &used) == 2 && used;
}

static bool in_colour(void)
{
    const char *plain = getenv("NO_COLOR"), *kind = getenv("TERM");
    return isatty(STDERR_FILENO) && !(plain && *plain) && kind && strcmp(kind, "dumb") != 0;
}

static void write_text(LogLevel level, const char *prefix, const char *text)
{
    const char *colour = level == LOG_ERROR ? "\033[31m" : level == LOG_WARN ? "\033[33m" : "", *end = "\033[0m";
    if (!*prefix || !in_colour())
        colour = end = "";
    if (has_position(text))
        prefix = "";
    if (rank >= 0 && !has_position(text))
        fprintf(stderr, "[rank %d] ", rank);
    fprintf(stderr, "%s%s%s%s\n", *prefix ? colour : "", prefix, *prefix ? end : "", text);
}

void log_progress_end(void)
{
    if (line_open)
        fputs("\r\033[K", stderr);
    line_open = false;
}

static void say(LogLevel level, const char *name, const char *prefix, const char *members, const char *format, va_list args)
{
    if (level > highest)
        return;
    char text[STATUS_BYTES], line[LINE_BYTES];
    status_text_of(text, sizeof text, format, args);
    if (rank >= 0)
        keep(name, prefix, text, members);
    if (level > shown)
        return;
    log_progress_end();
    if (as_json) /* one write a line, so that those of several threads and processes do not mix */
        fwrite(line, 1, make_json(line, name, text, members), stderr);
    else
        write_text(level, prefix, text);
}

#define LOG_FUNCTION(function, level, name, prefix)      \
    void function(const char *format, ...)               \
    {                                                    \
        va_list args;                                    \
        va_start(args, format);                          \
        say(level, name, prefix, NULL, format, args);    \
        va_end(args);                                    \
    }
LOG_FUNCTION(log_info, LOG_INFO, "info", "")
LOG_FUNCTION(log_warn, LOG_WARN, "warning", "warning: ")
LOG_FUNCTION(log_error, LOG_ERROR, "error", "error: ")

void log_event(const char *members, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    say(LOG_INFO, "info", "", members, format, args);
    va_end(args);
}

int log_columns(void)
{
    struct winsize w;
    return isatty(STDERR_FILENO) && !ioctl(STDERR_FILENO, TIOCGWINSZ, &w) ? w.ws_col : 0;
}

/* Bytes of text that fit into so many columns. */
static int clipped(const char *text, int columns)
{
    size_t n = strlen(text);
    while (columns > 0 && utf8_columns(text, n) > columns)
        n = utf8_whole(text, n - 1);
    return (int)n;
}

void log_progress(const char *format, ...)
{
    if (shown < LOG_INFO || as_json || !isatty(STDERR_FILENO))
        return;
    char text[STATUS_BYTES];
    va_list args;
    va_start(args, format);
    status_text_of(text, sizeof text, format, args);
    va_end(args);
    fprintf(stderr, "\r\033[K%.*s", clipped(text, log_columns()), text);
    line_open = true;
}
