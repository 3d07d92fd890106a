/* sketches.h: the world of drawing. Pictures of one coloured shape in a quarter of a flat ground, requests to draw or to change one, and a
 * checker that reads pictures back. Called by the program sketches.
 *
 * Everything is a function of (seed, split, number). Of the 24 combinations of shape and colour 6 are held out, one of each colour. */
#ifndef GENLLAVA_TOOLS_WORLDS_SKETCHES_H
#define GENLLAVA_TOOLS_WORLDS_SKETCHES_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "data/pictures/image.h"
#include "kernels/base/status.h"
#include "tools/worlds/scenes.h"

/* What a picture shows. X(enum, name, values) */
#define SKETCH_TRAIT_LIST(X)                                                         \
    X(SKETCH_SHAPE, "shape", "circle", "square", "triangle", "cross")                \
    X(SKETCH_COLOR, "color", "red", "yellow", "green", "blue", "cyan", "pink")       \
    X(SKETCH_PLACE, "place", "top left", "top right", "bottom left", "bottom right") \
    X(SKETCH_GROUND, "ground", "white", "gray", "black")
typedef enum SketchTrait {
#define SKETCH_TRAIT_ENUM(trait, name, ...) trait,
    SKETCH_TRAIT_LIST(SKETCH_TRAIT_ENUM)
#undef SKETCH_TRAIT_ENUM
        SKETCH_TRAITS
} SketchTrait;
enum { SKETCH_VALUES = 6, SKETCH_TEXT = 128 };
const char *sketch_trait_name(SketchTrait t);
const char *sketch_value_name(SketchTrait t, int value); /* NULL: there are fewer */

/* Lengths are fractions of the picture's side. */
typedef struct Sketch {
    int trait[SKETCH_TRAITS];
    double x, y, radius; /* x, y: from the middle of its quarter */
    uint8_t rgb[3];
} Sketch;

bool sketch_is_held_out(int shape, int color);
typedef enum SketchSplit { SKETCH_TRAIN, SKETCH_HELDOUT, SKETCH_ANY } SketchSplit; /* any: of all combinations */
/* A sketch whose combination of shape and colour belongs to the split. */
void sketch_compose(Sketch *s, SceneRandom *r, SketchSplit split);
/* The same but for one trait, of a kind drawn at random; what comes of it belongs to the split. */
SketchTrait sketch_change(Sketch *to, const Sketch *from, SceneRandom *r, SketchSplit split);
/* rgb [side,side,3] */
void sketch_draw(uint8_t *rgb, const Sketch *s, int32_t side);
bool sketch_in_shape(int shape, double u, double v);          /* whether a point, in radii from the middle, lies in it */
void sketch_palette(double rgb[3], SketchTrait t, int value); /* of a colour or a ground */

/* What a diffusion model is told, and what a person would say. */
void sketch_caption(char out[SKETCH_TEXT], const Sketch *s);
void sketch_instruction(char out[SKETCH_TEXT], const Sketch *to, SketchTrait change);
void sketch_ask_to_draw(char out[SKETCH_TEXT], const Sketch *s, SceneRandom *r);
void sketch_ask_to_change(char out[SKETCH_TEXT], const Sketch *from, const Sketch *to, SketchTrait change, SceneRandom *r);

/* What the pixels say. */
enum { SKETCH_SIDE_MAX = 256 };
typedef struct SketchReading {
    int objects;              /* patches of colour; the traits are those of the largest */
    int trait[SKETCH_TRAITS]; /* -1: none of the values */
    double x, y;              /* middle of the object, as fractions of the side */
    double rgb[3];            /* mean colour inside */
    bool object[SKETCH_SIDE_MAX * SKETCH_SIDE_MAX];
} SketchReading;
void sketch_read(SketchReading *r, const uint8_t *rgb, int32_t side);
/* Whether `got` is the picture `before` but for one trait: its ground, colour, place and outline are as they were, unless the change is of
 * them. */
bool sketch_kept(const uint8_t *before, const uint8_t *got, int32_t side, SketchTrait change);

/* A whole set: FOLDER/train.jsonl and FOLDER/heldout.jsonl, unified rows with `want` and `change` as extra keys, and PNG files beside
 * them. Even rows draw, odd ones change. */
typedef struct SketchSet {
    const char *out;
    int64_t count, heldout; /* rows of the two splits */
    int64_t size, seed;
    bool all; /* both splits have all combinations */
} SketchSet;
MUST_USE Status sketches_write(const SketchSet *set);

/* A sheet: pictures drawn in its upper rows, below them pictures changed, each to the right of what it was. */
enum { SHEET_COLUMNS = 8, SHEET_ROWS = 3 /* of either kind */ };
typedef struct SketchSheet {
    Image sheet;
    int n[2]; /* drawn, changed */
} SketchSheet;
/* before: NULL for a drawing. What no longer has a place is left out. All pictures are of one size. */
MUST_USE Status sketch_sheet_add(SketchSheet *s, const Image *before, const Image *picture);
MUST_USE Status sketch_sheet_write(const SketchSheet *s, const char *file);

/* Reads the pictures FOLDER/NNNNNN.png, named as the targets of the rows are, and prints how many show what the rows want.
 * sheet: a PNG file of the first of them, or NULL. */
MUST_USE Status sketches_check(FILE *out, const char *rows, const char *folder, bool each, const char *sheet);
#endif
