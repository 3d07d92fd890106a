/* subjects.h: what requests are made of: the records of a file, unified or plain, or the pictures of a folder. Called by request, which
 * goes through them twice. */
#ifndef GENLLAVA_DATA_CURATE_SUBJECTS_H
#define GENLLAVA_DATA_CURATE_SUBJECTS_H

#include <stdbool.h>

#include "data/curate/line.h"
#include "data/curate/recipe.h"
#include "data/formats/json.h"
#include "data/record.h"

/* Memory belongs to the reader and is valid until the next call. NULL: none. */
typedef struct Subject {
    const char *uid, *source, *split, *license;
    RecordImage *images; /* plain ones have the roles that the recipe's kind gives them */
    int n_images;
    const char *place; /* "FILE:LINE" of a record, else the folder */
    const char *unfit; /* why it must be left out, before its pictures are looked at */
    const Json *row;   /* of a record */
    bool unified;
    Task task; /* of a unified record */
} Subject;

typedef struct Subjects Subjects;
/* name: what messages call the file. */
MUST_USE Status subjects_of_records(Subjects **out, const char *file, const char *name, RecipeKind kind);
/* The pictures below a folder, by their first bytes, in byte order of their paths; also files that are none and are called .jpg and such:
 * whoever opens them says so. */
MUST_USE Status subjects_of_folder(Subjects **out, const char *folder, RecipeKind kind);
/* From the first one again. */
MUST_USE Status subjects_rewind(Subjects *r);
/* *out NULL: no more. A record that is none, has no uid or pictures that cannot be understood: ERR_DATA with its place; the next call goes
 * on behind it, unless *last. */
MUST_USE Status subjects_next(Subjects *r, const Subject **out, bool *last);
void subjects_close(Subjects **r);

/* Puts the recipe's user text, with the fields of the subject in their places, as the inside of a JSON string. ERR_DATA names a field that
 * is absent or no text. */
MUST_USE Status subject_prompt(const Subject *s, const Recipe *recipe, Line *out);
/* The field {caption}; NULL when it is absent or no text. */
const char *subject_caption(const Subject *s);
#endif
