/* request_files.h: the folder that `curate request` makes: request files within the limits of a batch service, and beside them what ingest
 * needs to know of each request:
 *
 *   recipe.json                      recipe_save
 *   requests-00000.jsonl, …          a request a line, filled in order
 *   records.jsonl                    a line a request, in the same order:
 *     {"custom_id","uid","source","split","license","images":[{"path","role"}…],"src_prompt","file","offset","bytes"}
 *
 * uid to src_prompt are the record's; source, split, license and src_prompt may be null. images: those that the made record has. The
 * request is the line of `bytes` bytes, its newline not counted, that begins at byte `offset` of file number `file`.
 *
 * The folder appears whole, in place of an earlier one of ours, or not at all. */
#ifndef GENLLAVA_DATA_CURATE_REQUEST_FILES_H
#define GENLLAVA_DATA_CURATE_REQUEST_FILES_H

#include <limits.h>

#include "data/curate/line.h"
#include "data/curate/recipe.h"
#include "data/formats/sink.h"

/* Limits of a request file: those of the services, and lower ones unless the user says otherwise. As rows of a table of options (cli.h);
 * f: something with max_lines and max_bytes. */
#define REQUEST_FILES_CLI_OPTIONS(f)                                                                                   \
    {"--max-lines", CLI_INT, &(f).max_lines, "N", "Requests in a file (45000).", 1, 50000, NULL, false},               \
        {"--max-bytes", CLI_INT, &(f).max_bytes, "N", "Bytes of a file (190000000).", 1, 200000000, NULL, false}
#define REQUEST_FILES_DEFAULTS .max_lines = 45000, .max_bytes = 190000000

typedef struct RequestFiles {
    char folder[PATH_MAX], hidden[PATH_MAX];
    Sink *requests, *records;
    int64_t max_lines, max_bytes;
    int64_t lines, bytes; /* of the file that is being filled */
    int64_t n_requests, n_bytes;
    int n_files;
} RequestFiles;

/* Whether the folder may be made or replaced; makes nothing. ERR_CREATE: it holds something that is not ours. */
MUST_USE Status request_files_check(const char *folder);
/* Begins it under a hidden name; what a killed process left there goes. */
MUST_USE Status request_files_open(RequestFiles *f, const char *folder, int64_t max_lines, int64_t max_bytes);
/* request: a line without its newline; one above max_bytes is ERR_DATA. record: the line of records.jsonl as far as "file". */
MUST_USE Status request_files_put(RequestFiles *f, const Line *request, Line *record);
/* Ends it. s: how things went; OK: the folder appears. Returns s, or what went wrong now. */
MUST_USE Status request_files_close(RequestFiles *f, const Recipe *recipe, Status s);
#endif
