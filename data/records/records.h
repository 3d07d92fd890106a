/* records.h: the rows of a mixture, one after the other: LLaVA JSON arrays (streamed, never one tree), unified JSONL, and the public
 * layouts of format.h. */
#ifndef GENLLAVA_DATA_RECORDS_RECORDS_H
#define GENLLAVA_DATA_RECORDS_RECORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "data/record.h"
#include "kernels/base/status.h"

/* Rows whose scores.NAME is outside [least, most], or absent, are left out as `filtered`. */
typedef struct MixtureFilter {
    char *score;
    double least, most; /* infinite where the bound is null */
} MixtureFilter;

typedef struct MixtureSource {
    char *name;
    const struct Format *format;
    char **files; /* of a layout that is a folder: that folder alone */
    int n_files;
    char *image_root;          /* absolute; NULL: the file's own folder */
    Task task;                 /* for rows without one */
    Task as;                   /* what the rows of a layout become */
    struct Requests *requests; /* NULL: its rows need none */
    char *requests_file;       /* NULL: the built-in ones */
    char *license;             /* of rows that name none, or NULL */
    char *split;               /* "train" or "val"; NULL: the layout has none */
    int64_t each;              /* rows of a picture, or pairs of a prompt; 0: all */
    double weight;
    int64_t max; /* rows taken at most, those that the reader itself leaves out not counted; 0: all */
    MixtureFilter *filters;
    int n_filters;
} MixtureSource;

typedef struct Mixture {
    MixtureSource *sources;
    int n_sources;
    int64_t seed;
    double epoch;       /* 0: natural, else rows of one epoch that the weights are rescaled to */
    char *exclude_file; /* ids of pictures whose rows are left out (exclude.h); NULL: none */
    bool drop_near;     /* rows of which a picture nearly equals one of an earlier source are left out */
} Mixture;

/* From data.mixture, or another key of that kind: a file ({"schema":"genllava.mixture/1","seed":42,"epoch":"natural",
 * "exclude_image_ids":FILE,"near_duplicates":"keep","sources":[…]}, or that list alone; its relative paths start from its own folder), or
 * else the config's inline list (relative to base_dir). All mistakes at once, ERR_USAGE, a line each with file:line:column and what was
 * meant. */
MUST_USE Status mixture_load(Mixture *m, const char *key, const char *file, const char *inline_json, const char *base_dir);
/* A source of the list as JSON Schema: what mixture_load takes. */
extern const char MIXTURE_SOURCE_SCHEMA[];
/* Whether a source's key (other than "files") is a path. */
bool mixture_key_is_path(const char *key);
struct Json;
/* Only the mistakes of a list of sources that stands in a larger document: each with its place there; name is the document's. */
MUST_USE Status mixture_check(const struct Json *list, const char *name);
/* ERR_MISSING when a data file is not there (or is a folder), in one message: every such file and every image_root that is missing, a line
 * each. A missing image_root alone is left to the reader, which asks for it when the first row with a picture comes, unless `folders`. */
MUST_USE Status mixture_check_files(const Mixture *m, bool folders);
/* Another list of pictures in place of the mixture's own; NULL: that stays. */
MUST_USE Status mixture_exclude(Mixture *m, const char *file);
void mixture_free(Mixture *m);

typedef struct RecordReader RecordReader;
/* Every file and image root must be there: ERR_MISSING. */
MUST_USE Status records_open(RecordReader **out, const Mixture *m);
/* The next row (also rejected ones); *rec = NULL at the end. A damaged array (not JSON at all) is a rejected row with reason bad_json, and
 * reading goes on where it can. */
MUST_USE Status records_next(RecordReader *r, const Record **rec);
/* Lone surrogates that became U+FFFD so far. */
int64_t records_replaced_surrogates(const RecordReader *r);
void records_close(RecordReader **r);
#endif
