/* scenes.h: the picture world. Pictures of one to four coloured shapes on a textured background, and questions about them whose
 * answers are known. Everything is a function of (seed, split, number), so any part can be made again, byte for byte.
 *
 * Of the 48 combinations of shape and colour 8 are held out, one of each colour: they never occur in the training split, and every
 * held-out question is about one of them (or about a picture with one). Which they are does not depend on the seed. */
#ifndef GENLLAVA_TOOLS_WORLDS_SCENES_H
#define GENLLAVA_TOOLS_WORLDS_SCENES_H

#include <stdbool.h>
#include <stdint.h>

#include "kernels/base/status.h"

/* What is asked. X(enum, name, an example for --help). From SCENE_REFER on answers are more than a word or phrase, and not asked to be
 * one. */
#define SCENE_KIND_LIST(X)                                                            \
    X(SCENE_COLOR, "color", "What color is the star?")                                \
    X(SCENE_SHAPE, "shape", "What shape is the red object?")                          \
    X(SCENE_COUNT, "count", "How many objects are there?")                            \
    X(SCENE_EXISTS, "exists", "Is there a red star?")                                 \
    X(SCENE_SIDE, "side", "Is the red star on the left or on the right?")             \
    X(SCENE_HEIGHT, "height", "Is the red star at the top or at the bottom?")         \
    X(SCENE_RELATION, "relation", "Is the red star left or right of the blue ring?")  \
    X(SCENE_SIZE, "size", "Is the red star small or large?")                          \
    X(SCENE_LARGER, "larger", "Which is larger, the red star or the blue ring?")      \
    X(SCENE_BACKGROUND, "background", "Is the background plain, striped or checked?") \
    X(SCENE_REFER, "refer", "Describe the red star. (answered in words)")            \
    X(SCENE_CAPTION, "caption", "Describe the picture. (answered in sentences)")
typedef enum SceneKind {
#define SCENE_KIND_ENUM(kind, name, example) kind,
    SCENE_KIND_LIST(SCENE_KIND_ENUM)
#undef SCENE_KIND_ENUM
    SCENE_KINDS
} SceneKind;
const char *scene_kind_name(SceneKind k);

enum { SCENE_SHAPES = 6, SCENE_COLORS = 8, SCENE_PATTERNS = 3, SCENE_MAX_OBJECTS = 4, SCENE_TEXT = 512 };

/* Lengths are fractions of the picture's side, from its top left corner. */
typedef struct SceneObject {
    int shape, color;
    bool large;
    double x, y, radius;
    double cosine, sine; /* of a slight turn */
    uint8_t rgb[3];
} SceneObject;

typedef struct Scene {
    int n;
    SceneObject object[SCENE_MAX_OBJECTS]; /* in reading order: rows of the picture's quarters, then from left to right */
    int pattern;                           /* of the background */
    uint8_t ground[2][3];                  /* its two tones */
    double period, slant_x, slant_y;       /* of the pattern */
    int noise, quality;                    /* amplitude in grey levels; of the JPEG file */
    int subject;                           /* the object that held-out questions are about; -1 in the training split */
} Scene;

typedef struct SceneQuestion {
    char ask[SCENE_TEXT], answer[SCENE_TEXT];
    int about; /* index of the object asked about, or -1 */
} SceneQuestion;

/* A stream of random numbers (Philox). */
typedef struct SceneRandom {
    uint64_t key;
    uint32_t counter, words[4];
    int left;
} SceneRandom;
SceneRandom scene_random(uint64_t seed, bool heldout, uint64_t number);
uint32_t scene_below(SceneRandom *r, uint32_t n); /* 0 … n-1 */

bool scene_is_held_out(int shape, int color);
/* A scene of exactly n objects. */
void scene_compose(Scene *s, SceneRandom *r, bool heldout, int n);
/* rgb [size, size, 3]. `r` supplies the noise. */
void scene_draw(uint8_t *rgb, const Scene *s, int32_t size, SceneRandom *r);
/* Asks a question of this kind if the scene has an unambiguous answer to one; in the held-out split about its subject. */
bool scene_ask(SceneQuestion *q, const Scene *s, SceneKind kind, SceneRandom *r);
/* A scene of at most `most` objects (2 at least for kinds that compare two) and a question of this kind. */
void scene_compose_for(Scene *s, SceneQuestion *q, SceneKind kind, SceneRandom *r, bool heldout, int most);

/* A whole set: FOLDER/train.json, FOLDER/heldout.json and the JPEG files beside them, in LLaVA's form with `kind` as an extra key. */
typedef struct SceneSet {
    const char *out;
    int64_t count, heldout;             /* records of the two splits */
    int64_t size, seed, turns, objects; /* objects: most in one picture */
    bool kinds[SCENE_KINDS];
} SceneSet;
MUST_USE Status scenes_write(const SceneSet *set);
#endif
