/* scan.h: the first pass of prepare: every row read once, its fate decided, its tokens and what is known of its pictures left in files
 * of a scan folder. The second pass makes shards from them.
 *
 * One process reads the mixture and keeps 48 bytes a distinct picture; `jobs` processes encode rows and verify pictures. A row's place depends
 * on the file order alone, never on who worked on it.
 *
 *   rows       ScanRow of each good row, in order          names, places  root and path of picture i, and where in `names`
 *   tokens.J   what worker J encoded                       pictures       PictureInfo of picture i, in order of first mention
 *   bad.jsonl  {"bad_row":{…}} a line, in order */
#ifndef GENLLAVA_DATA_PREPARE_SCAN_H
#define GENLLAVA_DATA_PREPARE_SCAN_H

#include "data/shards/index.h"
#include "data/prepare/prepare.h"
#include "data/pictures/picture_file.h"

enum { SCAN_MAX_JOBS = 64 };

typedef struct ScanRow {
    uint8_t uid[16];
    IndexRow index;
    uint64_t at; /* in tokens.J: ids, ScanRefs, mask bytes, the row's own text */
    uint32_t n_tokens, n_refs, n_text, n_trained;
    uint16_t worker;
    uint8_t flags;
} ScanRow;
typedef struct ScanRef {
    uint32_t picture;
    uint32_t role;
} ScanRef;

typedef struct ScanTotals {
    int64_t good, bad, pictures;
    int jobs;
} ScanTotals;

/* `keep_tokens` false: only rows, for planning. The folder exists and is empty. */
MUST_USE Status scan_run(const PrepareOptions *o, const char *folder, bool keep_tokens, ScanTotals *totals);

/* What a finished scan left. Descriptors are shared by fork. */
typedef struct ScanFiles {
    char *folder;
    ScanTotals totals;
    int rows, pictures, names, places, tokens[SCAN_MAX_JOBS];
} ScanFiles;
MUST_USE Status scan_open(ScanFiles *f, const char *folder, const ScanTotals *totals);
void scan_close(ScanFiles *f);
MUST_USE Status scan_sync(const ScanFiles *f); /* after it the scan outlives a power cut */
MUST_USE Status scan_rows(const ScanFiles *f, int64_t first, int64_t n, ScanRow *out);
/* Ids, mask, refs and text of a row, each into memory of the size the row says. */
MUST_USE Status scan_row_contents(const ScanFiles *f, const ScanRow *row, int32_t *id, uint8_t *mask, ScanRef *refs, char *text);
MUST_USE Status scan_picture(const ScanFiles *f, uint32_t i, PictureInfo *info);
/* root and path into two buffers of PATH_MAX bytes. */
MUST_USE Status scan_name(const ScanFiles *f, uint32_t i, char *root, char *path);
#endif
