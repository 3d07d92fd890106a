/* scan.h: the first pass of prepare: every row read, its fate decided, its tokens and what is known of its pictures left in files of a scan
 * folder. The second pass makes shards from them.
 *
 * Each of J processes reads the whole mixture, so all number rows and distinct pictures alike, in order of first mention. Process j encodes
 * the rows k = j (mod J) and checks the pictures i = j (mod J). A merge then judges the rows in order, now that all pictures are known.
 * A process keeps 10 to 15 bytes a uid and 32 to 64 bytes a distinct picture.
 *
 *   rows       ScanRow of row k; after the merge of the good rows alone
 *   pictures   ScanPicture of picture i
 *   more.J     what process J has of rows and pictures besides: ScanRefs, token ids, masks, names, the rows' own text
 *   bad.jsonl  {"bad_row":{…}} a line, in order */
#ifndef GENLLAVA_DATA_PREPARE_SCAN_H
#define GENLLAVA_DATA_PREPARE_SCAN_H

#include "data/pictures/picture_file.h"
#include "data/prepare/prepare.h"
#include "data/shards/index.h"

/* Told by a finished scan: one of another program's layout is not gone on from. */
#define SCAN_SCHEMA "genllava.scan/2"
typedef struct ScanRow {
    uint8_t uid[16];
    IndexRow index; /* index.record: k, so k mod J is the process that has the rest */
    int64_t row;    /* in its file */
    uint64_t at;    /* in more.J: n_pictures ScanRefs, ids, mask, words (id, path and message, each with its NUL), the row's text */
    uint32_t file;  /* of its source */
    uint32_t n_pictures, n_refs, n_tokens, n_words, n_text, n_trained, n_cut; /* n_refs: pictures that the encoder kept */
    uint32_t n_whole; /* tokens with its pictures expanded, before it was cut to max_tokens */
    uint8_t flags, reject;
    uint8_t ends_file; /* the file cannot be read behind it */
} ScanRow;
typedef struct ScanRef {
    uint32_t picture;
    uint16_t role;
    uint16_t kept;         /* 0: of a round that the encoder cut */
    uint32_t shard, image; /* where it is stored: the first shard that refers to it. Known after the merge, of good rows */
} ScanRef;
typedef struct ScanPicture {
    PictureInfo info;
    uint64_t at;                     /* in more.J: root, path, each with its NUL */
    uint32_t root_bytes, path_bytes; /* with it */
} ScanPicture;

/* What became of the rows. */
enum { N_REASONS = REJECT_BAD_JSON + 1 };
typedef struct Outcome {
    int64_t (*rows)[N_REASONS]; /* [n_sources] REJECT_NONE: good; reject_is_choice: neither good nor bad */
    int n_sources;
    int64_t good_of[N_TASKS], bad_of[N_TASKS]; /* rows by task; of one that is no JSON its source's */
    int64_t cut_files;                         /* data files that could not be read to their end */
    int64_t renamed;                           /* pictures found under another ending */
    int64_t cut_rows, cut_tokens;              /* good rows that were cut to max_tokens; the trained tokens that it cost */
} Outcome;

typedef struct ScanTotals {
    int64_t good, bad, pictures; /* pictures: distinct names */
    int64_t images;              /* distinct pictures of good rows; not known of a scan that another process finished */
    int jobs;
} ScanTotals;

typedef struct ScanFiles {
    char *folder;
    ScanTotals totals;
    Outcome outcome;                            /* not known of a scan that another process finished */
    int rows, pictures, more[PREPARE_MAX_JOBS]; /* descriptors, shared by fork */
} ScanFiles;

/* What is kept of good rows besides their ScanRows: what shards hold, and files that outlive this process; or nothing, or each row as a
 * unified line with absolute picture paths, in files whose names are gone at once (but bad.jsonl's). */
typedef enum ScanKeep { SCAN_SHARDS, SCAN_ROWS, SCAN_LINES } ScanKeep;
/* The whole pass, into a folder that exists and is empty; what it left is open afterwards. */
MUST_USE Status scan_run(ScanFiles *out, const PrepareOptions *o, const char *folder, ScanKeep keep);
/* A scan that another process finished. */
MUST_USE Status scan_open(ScanFiles *f, const char *folder, const ScanTotals *totals);
void scan_close(ScanFiles *f);
MUST_USE Status scan_sync(const ScanFiles *f); /* after it the scan outlives a power cut */
MUST_USE Status scan_rows(const ScanFiles *f, int64_t first, int64_t n, ScanRow *out);
/* Refs, ids, mask and text of a row, each into memory of the size the row says; NULL: refs, ids or mask are not wanted. */
MUST_USE Status scan_row_contents(const ScanFiles *f, const ScanRow *row, ScanRef *refs, int32_t *id, uint8_t *mask, char *text);
MUST_USE Status scan_picture(const ScanFiles *f, uint32_t i, ScanPicture *out);
/* root and path into two buffers of PATH_MAX bytes. */
MUST_USE Status scan_name(const ScanFiles *f, uint32_t i, const ScanPicture *p, char *root, char *path);
#endif
