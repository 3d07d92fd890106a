/* kinds.h: the kinds of things that all of data/ and its users speak of: tasks, roles of pictures, tokens, reasons to leave a row out. */
#ifndef GENLLAVA_DATA_KINDS_H
#define GENLLAVA_DATA_KINDS_H

#include <stdbool.h>
#include <stdint.h>

/* Placeholder of a picture among token ids; a label that trains nothing. */
enum { ID_IMAGE = -200 };

typedef enum Task { TASK_UNDERSTAND, TASK_GENERATE, TASK_EDIT, N_TASKS } Task;

/* Why a row was left out. X(enum, text in reports) */
#define REJECT_LIST(X)                            \
    X(REJECT_NONE, "")                            \
    X(REJECT_MISSING, "missing")                  \
    X(REJECT_CORRUPT, "corrupt")                  \
    X(REJECT_TRUNCATED, "truncated")              \
    X(REJECT_TOO_LONG, "too_long")                \
    X(REJECT_TOO_LARGE, "too_large")              \
    X(REJECT_NO_TRAINED, "no_trained_tokens")     \
    X(REJECT_BAD_TURNS, "bad_turns")              \
    X(REJECT_MARKERS, "marker_mismatch")          \
    X(REJECT_DUP, "dup")                          \
    X(REJECT_EXCLUDED, "excluded")                \
    X(REJECT_FILTERED, "filtered")                \
    X(REJECT_NEAR, "duplicate")                   \
    X(REJECT_LISTED, "excluded_picture")          \
    X(REJECT_OUTSIDE_ROOT, "outside_root")        \
    X(REJECT_NO_PROMPT, "no_prompt")              \
    X(REJECT_BAD_JSON, "bad_json")
typedef enum Reject {
#define REJECT_ENUM(name, text) name,
    REJECT_LIST(REJECT_ENUM)
#undef REJECT_ENUM
} Reject;
const char *reject_name(Reject r);
/* Whether such rows are left out because somebody does not want them (a filter, near duplicates, a list of pictures): they are neither good
 * nor bad. */
bool reject_is_choice(Reject r);

typedef enum ImageRole { ROLE_INPUT, ROLE_TARGET, ROLE_MASK, N_ROLES } ImageRole;

/* What a token is: bits 1-3 of the mask byte; bit 0: trained. */
typedef enum TokenKind { KIND_TEXT, KIND_VISUAL, KIND_TASK, KIND_IMAGE, N_KINDS } TokenKind;
enum { MASK_TRAINED = 1, MASK_KIND_SHIFT = 1 };

/* Results of frozen networks that may lie in files beside the shards: moments of the latents of pictures; the text encoder's states of
 * prompts. */
typedef enum CacheKind { CACHE_LATENTS, CACHE_CLIP_TEXT, N_CACHES } CacheKind;

/* As files spell them; those of caches as settings do, too. */
extern const char *const TASK_NAMES[N_TASKS], *const ROLE_NAMES[N_ROLES], *const KIND_NAMES[N_KINDS], *const CACHE_NAMES[N_CACHES];
#endif
