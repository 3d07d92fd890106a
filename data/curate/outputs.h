/* outputs.h: what ingest and filter write: for --out X.jsonl the records X.jsonl, what was left out X.rejects.jsonl and, of ingest,
 * requests to send again, X.retry-00000.jsonl and so on. All are written under hidden names and appear when all are whole; those of an
 * earlier run stay until then, and what a killed one left goes. */
#ifndef GENLLAVA_DATA_CURATE_OUTPUTS_H
#define GENLLAVA_DATA_CURATE_OUTPUTS_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "data/curate/verdict.h"
#include "data/formats/file.h"

typedef struct Outputs {
    char path[PATH_MAX], base[PATH_MAX]; /* X.jsonl and X */
    FileDraft records, rejects, retry;
    bool retries; /* whether there are retry files */
    int64_t max_lines, max_bytes;
    int64_t lines, bytes; /* of the retry file at hand */
    int n_files;          /* retry files so far */
} Outputs;

/* Limits of a retry file, the newlines counted; max_lines 0: there are none of them. What cannot be written is ERR_CREATE. */
MUST_USE Status outputs_open(Outputs *o, const char *path, int64_t max_lines, int64_t max_bytes);
/* ERR_USAGE for a file that is read and would be replaced or removed. */
MUST_USE Status outputs_spare(const Outputs *o, const char *input);
/* Where a retry line of n bytes goes, its newline counted. */
MUST_USE Status outputs_retry(Outputs *o, int64_t n, FILE **out);
/* A line of the rejects. custom_id: NULL, or the request's; it then also says whether that is sent again. */
void outputs_reject(Outputs *o, const char *custom_id, const char *uid, const Verdict *v);
/* A full disk is noticed early, so that the rest need not be computed. */
MUST_USE Status outputs_check(const Outputs *o);
/* Ends all. s: how things went; OK: they appear. Returns s, or what went wrong now. */
MUST_USE Status outputs_close(Outputs *o, Status s);
#endif
