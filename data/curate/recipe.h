/* recipe.h: what is asked of the author, and what its replies must be. Called by all commands of curate that make or read requests. */
#ifndef GENLLAVA_DATA_CURATE_RECIPE_H
#define GENLLAVA_DATA_CURATE_RECIPE_H

#include <stdbool.h>
#include <stdint.h>

#include "data/kinds.h"
#include "kernels/base/status.h"

typedef enum RecipeKind { RECIPE_CONVERSATION, RECIPE_DETAIL, RECIPE_REASONING, RECIPE_DRAW, RECIPE_EDIT, N_RECIPE_KINDS } RecipeKind;

/* A key of the reply, whose value is text, and how many words it has unless the recipe says otherwise. */
typedef struct ReplyKey {
    const char *key;
    int64_t least, most;
    bool optional;
} ReplyKey;

enum { REPLY_MOST_KEYS = 3 };
typedef struct KindRule {
    const char *name;
    Task task;                      /* of the records that it makes */
    const char *list;               /* the keys are those of each object in the list under this key; NULL: of the reply itself */
    ReplyKey keys[REPLY_MOST_KEYS]; /* until one without key */
} KindRule;
extern const KindRule RECIPE_KINDS[N_RECIPE_KINDS];
/* Whether records of this kind have pictures of that role. */
bool recipe_has_role(RecipeKind kind, ImageRole role);

/* Which of a record's pictures are sent. Masks never are. */
typedef enum RecipeImages { RECIPE_ALL, RECIPE_INPUT, RECIPE_TARGET, RECIPE_NONE, N_RECIPE_IMAGES } RecipeImages;

typedef struct WordBounds {
    int64_t least, most;
} WordBounds;

typedef struct Recipe {
    char *name, *user;
    char *system, *model; /* NULL: none */
    char *question;       /* `detail` alone */
    char *body;           /* more members of the request's body, as a JSON object; NULL: none */
    RecipeKind kind;
    RecipeImages images;
    int64_t max_tokens;
    bool has_temperature;
    double temperature;
    WordBounds words[REPLY_MOST_KEYS]; /* in the order of the kind's keys */
    char template_sha256[65];          /* of system, NUL, user */
} Recipe;

/* A built-in recipe (configs/curate/NAME.json), or a file: its path has a '/', ends in ".json" or is "-". All mistakes at once, ERR_USAGE,
 * a line each with FILE:line:column and what was meant. */
MUST_USE Status recipe_load(Recipe *r, const char *name_or_file);
/* Of a folder that `curate request` wrote. A file that does not fit its template_sha256 is ERR_DATA; none at all, ERR_MISSING. */
MUST_USE Status recipe_load_requests(Recipe *r, const char *folder);
/* As that folder has it, with every default written out. */
MUST_USE Status recipe_save(const Recipe *r, const char *path);
void recipe_free(Recipe *r);
#endif
