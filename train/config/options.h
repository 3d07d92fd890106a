/* options.h: the one table of a run's keys. The parser, the checks, --help, --print-schema, --set, config.resolved.json and the
 * comparison on resume all read it; nothing else knows a key's type, range, default or description. */
#ifndef GENLLAVA_TRAIN_CONFIG_OPTIONS_H
#define GENLLAVA_TRAIN_CONFIG_OPTIONS_H

#include <stddef.h>
#include <stdio.h>

#include "train/config/config.h"

typedef enum OptionKind {
    OPTION_STRING,
    OPTION_PATH, /* made absolute: from the file's folder, or the working directory for --set and defaults */
    OPTION_INIT, /* "default" (NULL) or a path */
    OPTION_INT,
    OPTION_AUTO_INT, /* "auto" (-1) or an integer */
    OPTION_REAL,
    OPTION_BOOL,
    OPTION_CHOICE,    /* one of `names` */
    OPTION_LIST,      /* a list of some of `names`, none twice */
    OPTION_PROJECTOR, /* "linear" or "mlpKx_gelu" */
    OPTION_MIXTURE    /* a path, or a list of sources */
} OptionKind;

enum {
    OPTION_NULLABLE = 1,     /* null is a value: nothing there */
    OPTION_REQUIRED = 2,     /* without a default */
    OPTION_FREE = 4,         /* a resumed run may change it */
    OPTION_ABOVE = 8,        /* `low` itself is not allowed */
    OPTION_BELOW = 16,       /* `high` itself is not allowed */
    OPTION_NOT_EMPTY = 32,   /* a list with at least one element */
    OPTION_FOLDER = 64,      /* must exist when the run starts, as a folder */
    OPTION_FILE = 128,       /* must exist when the run starts, as a file */
    OPTION_ALL_LINEAR = 256, /* a list that may be the text "all-linear": all its names */
    OPTION_GPU = 512         /* a choice of which "gpu" is "cuda", as other programs call it */
};

#define OPTION_UNBOUNDED 1e300 /* as `low` (negative) or `high`: no bound */

typedef struct Option {
    const char *key; /* "model.llm.path" */
    OptionKind kind;
    unsigned flags;
    size_t offset;             /* in RunConfig */
    const char *fallback;      /* the default as JSON text; NULL: required or worked out from other keys */
    const char *fallback_text; /* how people are told of a default that is worked out, or NULL */
    double low, high;
    const char *const *names; /* of a choice (index = value; "" where the key does not allow the value) or a list; NULL-terminated */
    const char *help;         /* a sentence */
} Option;

/* An object of the file. */
typedef struct OptionSection {
    const char *key; /* "model.llm" */
    bool replaces;   /* an object given here stands for all its keys: those left out are null; null itself empties it */
    const char *help;
} OptionSection;

extern const Option OPTIONS[];
extern const int N_OPTIONS;
extern const OptionSection OPTION_SECTIONS[];
extern const int N_OPTION_SECTIONS;

const Option *option_find(const char *key);
const OptionSection *option_section(const char *key); /* "" is the whole file */
/* The part of a key after its section: "path". */
const char *option_leaf(const char *key);
/* Whether `key` is a direct member of the object `section` ("" for the whole file). */
bool option_in_section(const char *key, const char *section);
/* Calls visit with each direct member of a section: options have `o` set, inner sections `s`. */
typedef void (*OptionVisit)(void *arg, const char *key, const Option *o, const OptionSection *s);
void option_members(const char *section, OptionVisit visit, void *arg);
/* What is allowed, as people say it: "an integer from 1 to 8", "\"cosine\", \"linear\" or \"constant\"". Returns buf. */
char *option_allowed(const Option *o, char *buf, size_t n);
/* The key of the table that `key` was probably meant to be, or NULL. */
const char *option_suggest(const char *key);
/* Prints the keys of a section ("" for all) with defaults and descriptions; false when there is no such section or key. */
bool options_print(const char *section);
/* Rows of train --describe (cli.h), of which manual page and completion are made: "section", its key, a sentence; "key", its name, what it
 * takes, default, a sentence, values to offer. */
void options_describe(FILE *out);
#endif
