/* status.h: how every function that can fail says so.
 *
 * The sentence is written where the facts are known, context is added on the way up ("loading adapters: …"), and only
 * main prints it and exits with status_exit_code(). The sentence lives in thread-local storage and stays valid until
 * the next fail() of the same thread. */
#ifndef GENLLAVA_KERNELS_BASE_STATUS_H
#define GENLLAVA_KERNELS_BASE_STATUS_H

#include <stdarg.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The kinds of failure, each with the exit code its program ends with. */
#define STATUS_LIST(X)                                            \
    X(OK, 0, "done")                                              \
    X(ERR_USAGE, 2, "usage or configuration")                     \
    X(ERR_DATA, 65, "bad data")                                   \
    X(ERR_MISSING, 66, "input missing")                           \
    X(ERR_DEVICE, 69, "device or communicator unavailable")       \
    X(ERR_INTERNAL, 70, "self-check failed")                      \
    X(ERR_NOMEM, 71, "out of memory")                             \
    X(ERR_CREATE, 73, "cannot create output")                     \
    X(ERR_IO, 74, "I/O error")                                    \
    X(ERR_PREEMPTED, 75, "pre-empted, checkpoint saved")

typedef enum Status {
#define STATUS_ENUM(name, code, text) name,
    STATUS_LIST(STATUS_ENUM)
#undef STATUS_ENUM
} Status;

enum { STATUS_BYTES = 8192 }; /* of a sentence: a config file with many mistakes fills a screen, not more */

#define MUST_USE __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt, first) __attribute__((format(printf, fmt, first)))

/* Records the sentence and returns `kind`. The message ends without a full stop or newline. What it names may come from anywhere: the
 * sentence is kept fit to be shown (utf8.h), cut at a character, and of one line, unless the format has a line break or is "%s", which
 * passes lines gathered elsewhere. */
MUST_USE Status fail(Status kind, const char *format, ...) PRINTF_LIKE(2, 3);
/* Puts "context: " before the present sentence; returns `s` unchanged (OK stays OK and changes nothing). */
Status fail_context(Status s, const char *format, ...) PRINTF_LIKE(2, 3);
/* The text of a format, made fit to be shown in that way, as much as fits into `room` bytes; returns its bytes. For log.c and gatherers of
 * lines. */
size_t status_text(char *out, size_t room, const char *format, ...) PRINTF_LIKE(3, 4);
size_t status_text_of(char *out, size_t room, const char *format, va_list args) __attribute__((format(printf, 3, 0)));
/* The present sentence ("" when none). */
const char *status_message(void);
int status_exit_code(Status s);
/* What stands behind a noun that follows the number n: "" or "s". */
static inline const char *status_plural(long long n) { return n == 1 ? "" : "s"; }

#define TRY(expr)                      \
    do {                               \
        Status try_status_ = (expr);   \
        if (try_status_ != OK)         \
            return try_status_;        \
    } while (0)
/* TRY_IN(expr, "loading %s", path): as TRY, with context put before the sentence. */
#define TRY_IN(expr, ...)                                        \
    do {                                                         \
        Status try_status_ = (expr);                             \
        if (try_status_ != OK)                                   \
            return fail_context(try_status_, __VA_ARGS__);       \
    } while (0)

#ifdef __cplusplus
}
#endif
#endif
