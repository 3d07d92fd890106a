/* log.h: what programs tell people while they work. Everything goes to stderr; stdout is for results. What names, rows and files say is
 * made fit for a terminal before (status_text): no control characters but our own line breaks. On a terminal warnings and errors begin in
 * colour, unless NO_COLOR is set. With --log-format json each line is one JSON object {"level","message","time"}, with the numbers of an
 * event beside. */
#ifndef GENLLAVA_KERNELS_BASE_LOG_H
#define GENLLAVA_KERNELS_BASE_LOG_H

#include <stdbool.h>
#include <stdio.h>

#include "kernels/base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum LogLevel { LOG_QUIET, LOG_ERROR, LOG_WARN, LOG_INFO } LogLevel;

void log_level(LogLevel highest);
void log_format(bool json); /* of all messages from here on */
bool log_is_json(void);
/* This process is one of several that do the same: from here on it says at most what is of this level, "[rank N]" before it (JSON: "rank").
 * All that log_level lets through is kept for log_file, as far as a little memory goes. */
void log_rank(int rank, LogLevel highest);
/* Adds what is kept, and each message from here on, to this file, with the time (UTC); of one that cannot be written the process says so
 * once. The file stays open until the process ends. */
void log_file(FILE *file);
void log_info(const char *format, ...) PRINTF_LIKE(1, 2);
/* log_info, and as JSON with the members of an object beside the message. members: that object on one line, or NULL. */
void log_event(const char *members, const char *format, ...) PRINTF_LIKE(2, 3);
void log_warn(const char *format, ...) PRINTF_LIKE(1, 2);
void log_error(const char *format, ...) PRINTF_LIKE(1, 2);
/* Columns of the terminal behind stderr; 0: it is none, or does not tell. */
int log_columns(void);
/* A progress line that overwrites itself, cut to the terminal's width; printed only when stderr is a terminal and the level is LOG_INFO.
 * The next log_* call takes its place. */
void log_progress(const char *format, ...) PRINTF_LIKE(1, 2);
/* The line goes: what it counted is done, and results may follow on the same terminal. */
void log_progress_end(void);

#ifdef __cplusplus
}
#endif
#endif
