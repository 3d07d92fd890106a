/* format.h: layouts of public data sets, and how their files become records. A layout is one row of the table in formats.c and, where its
 * rows are not records already, one file with a Feed, which gives a Draft a row. draft.c makes records of drafts. */
#ifndef GENLLAVA_DATA_RECORDS_FORMAT_H
#define GENLLAVA_DATA_RECORDS_FORMAT_H

#include "data/record.h"

struct MixtureSource;

enum { DRAFT_IMAGES = 3 };

/* What a row of a public layout says. Texts are valid until the next call of its feed; NULL, or empty: the row says nothing of that kind.
 */
typedef struct Draft {
    const char *id;     /* how the data set calls it, as text; NULL: it is known by its number */
    int64_t row;        /* in its file, from 0; -1: one more than that of the draft before */
    int line, column;   /* where it begins in its file, from 1; 0: not known */
    int64_t surrogates; /* lone ones in its text that became U+FFFD */
    RecordImage images[DRAFT_IMAGES];
    int n_images;
    /* Texts as they stand; white space at their ends is dropped by draft.c. */
    RecordText caption;                  /* of the picture: a request template asks for it, or for the picture */
    RecordText instruction;              /* of an edit row */
    RecordText sd_prompt, sd_src_prompt; /* of an edit row: what the result shows, what the source shows */
    const char *split;
    const RecordScore *scores; /* the feed's */
    int n_scores;
    RecordProvenance prov;
    Reject reject; /* not REJECT_NONE: the row cannot be used, `message` says why ("3:14: …" where a place in the file is known) */
    char message[256], reject_path[256];
    const char *note; /* what a person should know though the row may stay, or NULL */
    bool unscored;    /* a rejected row whose scores are not known: no filter is asked */
    bool ends_file;   /* its file cannot be read any further */
} Draft;

typedef Status (*FeedVisit)(void *arg, const char *path);

/* Reads one file (or folder) of a source, a row at a time; its memory does not grow with the file. */
typedef struct Feed {
    MUST_USE Status (*open)(void **feed, const struct MixtureSource *s, const char *path);
    /* Fills *d, which is zeroed (row and prov.index -1); *end: there was no row left. Bad rows are OK with d->reject. */
    MUST_USE Status (*next)(void *feed, Draft *d, bool *end);
    void (*close)(void **feed);
    /* Goes on with the source's next file, and with what it remembers of those before; NULL: each file is read by itself. */
    MUST_USE Status (*again)(void *feed, const char *path);
    /* Calls visit with every other file that the rows depend on, in a fixed order, and with folders whose names they depend on; NULL: there
     * is none. */
    MUST_USE Status (*inputs)(const struct MixtureSource *s, const char *path, FeedVisit visit, void *arg);
    /* Whether a folder may not be read for a split, which is the default one or that of the source, and why; NULL: any may. */
    bool (*refuses)(const char *folder, const char *split, bool is_default, char sentence[256]);
    const char *endings[3]; /* of its files' names, where these say what a file is; else none */
} Feed;

/* Keys of a source beside name, weight, max, filter, license. */
typedef enum FormatKeys {
    KEY_FILES = 1,
    KEY_IMAGE_ROOT = 2,
    KEY_TASK = 4,
    KEY_AS = 8,
    KEY_REQUESTS = 16,
    KEY_EACH = 32,
    KEY_ROOT = 64, /* a folder: its files and its pictures */
    KEY_SPLIT = 128,
} FormatKeys;

typedef struct Format {
    const char *name;
    unsigned keys;             /* FormatKeys */
    Task as;                   /* what its rows become where the source does not say */
    const Feed *feed[N_TASKS]; /* by what they become; NULL: rows are records as they stand, LLaVA's or unified ones */
} Format;

extern const Format FORMATS[]; /* the first is that of sources that name none */
int format_count(void);
const Format *format_named(const char *name); /* NULL: there is none */

extern const Feed REVERSED_FEED, CAPTIONS_FEED, LAION_FEED, FOLDER_FEED, INSTRUCTPIX2PIX_FEED, MAGICBRUSH_FEED;
#endif
