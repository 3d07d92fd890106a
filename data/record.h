/* record.h: one row of a mixture: read by records/, encoded by text/, stored by prepare/; and what its turns say about pictures. */
#ifndef GENLLAVA_DATA_RECORD_H
#define GENLLAVA_DATA_RECORD_H

#include <stdbool.h>
#include <stddef.h>

#include "data/kinds.h"
#include "kernels/base/status.h"

/* Places of pictures in turns: of an input in a human one, of a target in one from gpt. */
#define IMAGE_MARKER "<image>"
#define GEN_MARKER "<gen>"

typedef struct RecordImage {
    const char *path; /* as the row says */
    ImageRole role;
} RecordImage;

typedef struct RecordTurn {
    bool human;
    const char *text; /* UTF-8, length bytes, may hold NUL */
    size_t length;
} RecordTurn;

/* UTF-8, may hold NUL. length 0: none. */
typedef struct RecordText {
    const char *text;
    size_t length;
} RecordText;

/* How good others found a picture or a pair of them. */
typedef struct RecordScore {
    const char *name;
    double value;
} RecordScore;

/* Where a row comes from. NULL: not known; all parts but these are passed over. */
typedef struct RecordProvenance {
    const char *file;
    int64_t index; /* -1: not known */
    const char *license, *curator, *model, *template_sha256, *request;
} RecordProvenance;

#define UNIFIED_SCHEMA "genllava.sample/1"

/* A row; its memory belongs to the reader and is valid until the next call. */
typedef struct Record {
    int64_t number;       /* from 0, in file order over the mixture, rejected rows counted */
    int source;           /* index of the mixture's source */
    const char *file;     /* as opened */
    int file_index;       /* in its source */
    int64_t row;          /* in its file, from 0 */
    const char *id, *uid; /* id: as the row says, "" when absent; uid: unique over the mixture */
    Task task;
    float weight;
    RecordImage *images;
    int n_images;
    RecordText system; /* replaces the template's own, or stands first in the first human turn */
    RecordTurn *turns;
    int n_turns;
    const char *sd_prompt, *sd_src_prompt, *sd_instruction; /* NULL when absent */
    const char *split;                                      /* NULL when absent */
    const char *origin;                                     /* the data set that it says it is from; NULL when absent */
    RecordScore *scores;
    int n_scores;
    RecordProvenance prov;
    const char *slip, *meant; /* a key that nothing reads, and the one that it resembles; NULL: none */
    const char *note;         /* what a person should know though the row may stay, or NULL */
    const char *json;         /* the row's own text */
    size_t json_length;
    bool ends_file; /* a rejected row behind which its file cannot be read: it was cut off, or worse */
    Reject reject;  /* not REJECT_NONE: the row cannot be used, `message` says why (row fields may be unset) */
    char message[256];
    char reject_path[256]; /* the image concerned, or "" */
} Record;

int record_count_marker(const RecordTurn *t, const char *marker);
/* A question without its image markers, stripped: into out, which has room for t->length bytes. Returns how many it has. */
size_t record_question(char *out, const RecordTurn *t);
/* The form in which what rows say (UTF-8) is compared: without "<image>", ASCII letters in lower case, white space one blank each and none
 * at the ends, then without the characters of `closing` at the end (".!?"). Into out, which has room for n bytes; returns how many it has.
 */
size_t record_comparable(char *out, const char *text, size_t n, const char *closing);
/* What describes target k (in order of the markers) to a diffusion model's text encoder: sd.prompt, else sd.instruction of an edit row,
 * else the question that the target answers. mem_free. ERR_DATA: the turns have no such target. */
MUST_USE Status record_prompt(const Record *rec, int k, char **out);
/* Whether those of the first n targets hold anything but white space. */
bool record_has_prompts(const Record *rec, int n);
#endif
