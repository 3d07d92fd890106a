/* names.h: what weights are called in other formats, as tables of prefixes that are read both ways: a file's names become ours, and ours
 * a file's. The tables stand beside their networks; weights.c reads with them. Spec: model.md 3.2. */
#ifndef GENLLAVA_TRAIN_MODELS_NAMES_H
#define GENLLAVA_TRAIN_MODELS_NAMES_H

#include <stdbool.h>

#include "data/formats/safetensors.h"

enum { WEIGHT_NAME_MAX = 256, NAME_RULES_MAX = 9 };

/* How names begin here and there. '#' stands for a number k, the same in both; '@' in theirs for 2(k-1): layers among which activations are
 * counted. */
typedef struct NameRule {
    const char *ours, *theirs;
} NameRule;

/* A format: of the rules that fit, the one with the longest beginning counts. */
typedef struct Spelling {
    NameRule rules[NAME_RULES_MAX]; /* up to one without `ours` */
    NameRule ending;                /* how names end, where that differs */
} Spelling;

typedef struct NameTable {
    const Spelling *spellings; /* the first is ours, and that which messages use for a file of none of them */
    int n;
    bool wrapped; /* while reading, anything may stand before a name, up to a dot */
    const char *const
        *quiet; /* beginnings of names (ours, or the file's) that files hold and we leave out; "*x": endings. Ends with NULL; may be NULL */
} NameTable;

/* false: no rule fits, and out is untouched. */
bool name_to_theirs(char out[WEIGHT_NAME_MAX], const Spelling *s, const char *ours);
bool name_to_ours(char out[WEIGHT_NAME_MAX], const Spelling *s, const char *theirs);

/* The names of one file. */
typedef struct FileNames {
    const NameTable *table; /* NULL: they are ours */
    const Spelling *spelling;
    char wrapper[WEIGHT_NAME_MAX]; /* stands before each; "" mostly */
} FileNames;
/* The spelling under which the file holds `ours`; the first where it does not. */
FileNames names_find(const NameTable *table, const SafeTensors *st, const char *ours);
/* What the file calls `ours`: a name that no rule knows is the same everywhere. Returns out. */
const char *names_in_file(char out[WEIGHT_NAME_MAX], const FileNames *f, const char *ours);
/* What we call a tensor of the file; false: no rule fits, and out is untouched. Without a table the name is ours. */
bool names_ours(char out[WEIGHT_NAME_MAX], const FileNames *f, const char *theirs);
/* The pattern of `quiet` by which a tensor of the file is left out on purpose; NULL: by none. */
const char *names_quiet(const FileNames *f, const char *theirs);
#endif
