/* parts.h: what the files of prepare share among themselves. */
#ifndef GENLLAVA_DATA_PREPARE_PARTS_H
#define GENLLAVA_DATA_PREPARE_PARTS_H

#include <stdio.h>
#include <xxhash.h>

#include "data/formats/file.h"
#include "data/prepare/near.h"
#include "data/prepare/scan.h"
#include "data/shards/shard_set.h"
#include "kernels/base/table.h"

/* ---- jobs.c: worker processes, which die with this one */
typedef Status (*JobBody)(void *context, int number);
typedef void (*JobMeanwhile)(const void *context);
/* Runs body(context, 0 … n-1), each in a new process, and waits for all, with a call of `meanwhile` now and then. The first that fails or
 * is killed ends the others; its status and sentence are the result. */
MUST_USE Status jobs_run(int n, JobBody body, JobMeanwhile meanwhile, void *context);
int jobs_wanted(const PrepareOptions *o);

/* ---- numbers.c: numbers of pictures from 0, by order of first mention. pictures: a TABLE_128, as it is when zeroed */
MUST_USE Status numbers_of(Table *pictures, const void *hash, uint32_t *number, bool *is_new); /* [16] */

/* ---- outcome.c: what became of the rows, see scan.h */
MUST_USE Status outcome_create(Outcome *o, int n_sources);
void outcome_free(Outcome *o);
int64_t outcome_count(const Outcome *o, Reject why); /* rows of all sources */
const char *outcome_choice_name(Reject r);           /* what "left_out" calls rows that nobody wants */
struct cJSON;
void outcome_write(struct cJSON *to, const Outcome *o);            /* as members of an object */
MUST_USE Status outcome_read(Outcome *o, const struct Json *from); /* what is not there counts as 0 */
void outcome_sum_up(const Outcome *o, PrepareResult *r);
/* Says on stderr how many rows were left out and why, cut, and so on. all: where a person finds them all, as the end of a sentence. */
void outcome_say(const Outcome *o, const PrepareOptions *p, const char *all);
/* ERR_DATA: none is good; --strict, and one is bad; a source has a larger share of bad ones than data.max_bad. */
MUST_USE Status outcome_judge(const Outcome *o, const PrepareOptions *p);

/* ---- scan_files.c, merge.c: parts of the first pass */
/* temporary: their names are gone at once, so that nothing is left of them after a kill. */
MUST_USE Status scan_create(ScanFiles *f, const char *folder, int jobs, bool temporary);
/* Judges the rows: bad ones to bad.jsonl, good ones stay in `rows`; counts both. */
MUST_USE Status scan_merge(ScanFiles *f, const PrepareOptions *o, int64_t rows);

/* ---- survey.c: the first pass alone, in a temporary folder: what the shards would hold */
/* Fills *result, tells of the rows that are left out, and gives the scan to `use` unless outcome_judge refuses it. */
typedef Status (*SurveyUse)(void *arg, const ScanFiles *scan);
MUST_USE Status survey_run(const PrepareOptions *o, ScanKeep keep, SurveyUse use, void *arg, PrepareResult *result);
static inline int64_t shards_for(const PrepareOptions *o, int64_t good) { return good / o->shard_samples + (good % o->shard_samples > 0); }

/* ---- earlier.c: the pictures of earlier sources, and rows of later ones that show nearly the same. Masks are no pictures here */
typedef struct Waiting {
    uint64_t hash;
    uint32_t picture;
} Waiting;
/* Zero it to begin with; rows are given in order. */
typedef struct Earlier {
    NearHashes near;  /* of pictures of sources before this one */
    Waiting *waiting; /* of this source */
    size_t n_waiting, capacity;
    uint8_t *added; /* a bit a picture */
    int source;
} Earlier;
typedef struct NearPicture {
    uint32_t picture, earlier; /* of the scan */
    int bits;                  /* that their hashes differ in */
} NearPicture;
void earlier_free(Earlier *e);
/* *found: whether a picture of the row nearly equals one of an earlier source; *out: the row's first that does, and the nearest to it. */
MUST_USE Status earlier_find(Earlier *e, const ScanFiles *scan, const ScanRow *row, const ScanRef *refs, NearPicture *out, bool *found);
/* The row stays: its pictures are those that later sources are compared with. */
MUST_USE Status earlier_add(Earlier *e, const ScanFiles *scan, const ScanRow *row, const ScanRef *refs);

/* ---- made.c: what shards are made from */
MUST_USE Status made_describe(const PrepareOptions *o, char **json); /* canonical; its SHA-256 is the config hash. mem_free */
/* What differs between two descriptions, as a sentence. */
void made_difference(const char *there, const char *here, char *out, size_t n);
const char *prepare_template_name(ChatTemplate t);
/* What prepare_identity says, from the inputs as made_inputs wrote them and a hash of the shards, or NULL. */
MUST_USE Status made_identity(const PrepareOptions *o, const char *inputs, const char *shards, char **json);
MUST_USE Status made_inputs(const PrepareOptions *o, char **json, int64_t *newest_unix); /* [{"path","bytes","sha256"}] */

/* ---- journal.c: manifest.jsonl, the journal of a folder of shards */
typedef struct JournalShard {
    int64_t index, bytes, samples, images, tokens;
    char file[64], content[33], sha256[65]; /* content: of what the shard was made from */
} JournalShard;
typedef struct Journal {
    char config[65], *made_from, *inputs;
    int64_t good, bad, n_shards, newest_unix;
    Outcome outcome;
    JournalShard *shards; /* [n_shards] file is "" of those that are not finished */
} Journal;
/* *found false when there is none or it cannot be read (then it is as if there were none). */
MUST_USE Status journal_read(Journal *m, const char *folder, bool *found);
bool journal_exists(const char *folder); /* readable or not */
void journal_free(Journal *m);
const JournalShard *journal_shard(const Journal *m, int64_t index); /* NULL: not finished */
MUST_USE Status journal_size(Journal *m, int64_t n_shards);         /* of which none is finished */
/* The head, the bad rows of `bad_jsonl` (a file, or NULL: those of the present manifest) and the finished shards, in order. */
MUST_USE Status journal_write(const Journal *m, const char *folder, const char *bad_jsonl);
/* Safe from several processes at once. */
MUST_USE Status journal_append(const char *folder, const JournalShard *s);
/* Says on stderr which rows were left out, the first few of each reason, and what became of all, and writes the report where one is wanted.
 * The rows stand in a file of lines; all: where a person finds them, as the end of a sentence, when no report is written to a file. */
MUST_USE Status journal_tell(const char *bad_jsonl, const Outcome *outcome, const PrepareOptions *o, const char *all);
MUST_USE Status journal_report(const Journal *m, const PrepareOptions *o);

/* ---- gather.c: the content of one shard, from the scan */
typedef struct Gathered {
    Shard shard;       /* arrays and counts; other attributes are the caller's, borrowed */
    char *text;        /* the original lines, see shard.text_off */
    uint32_t *picture; /* [n_images] of the scan */
    char content[33];
    ScanRow *rows; /* scratch from here on */
    ScanRef *refs;
} Gathered;
/* Shard k: n good rows from `first` on. */
MUST_USE Status gather_shard(Gathered *g, const ScanFiles *scan, int64_t k, int64_t first, int64_t n);
void gather_free(Gathered *g);

/* ---- licenses.c: the distinct licenses of a shard's rows, a sorted JSON list. mem_free */
MUST_USE Status prepare_licenses(const Gathered *g, const Mixture *m, char **json);

/* ---- build.c: the second pass. Shards of the journal that stand are kept; the others are appended to the file */
MUST_USE Status build_shards(const PrepareOptions *o, const ScanFiles *scan, const Journal *m);
/* ERR_DATA: a folder stands where a shard belongs. */
MUST_USE Status build_check_place(const char *path);

/* ---- pictures.c: which picture files the shards were made from, to see later whether they changed */
MUST_USE Status pictures_write(const ScanFiles *scan, const char *folder);
/* *changed: the first that is not as it was, or the list itself; "" when all are. */
MUST_USE Status pictures_check(const char *folder, char *changed, size_t n);
#endif
