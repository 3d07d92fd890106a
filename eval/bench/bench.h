/* bench.h: a benchmark: its official files, its questions, its score. One file a benchmark, one table (benches.c); the commands of evaluate
 * know nothing of any. */
#ifndef GENLLAVA_EVAL_BENCH_BENCH_H
#define GENLLAVA_EVAL_BENCH_BENCH_H

#include <stdio.h>

#include "eval/bench/answers.h"
#include "eval/bench/networks.h"
#include "eval/bench/scores.h"

/* What comes before the caption of the picture to draw: captions and pictures of the story so far, its captions, nothing. */
typedef enum BenchContext { CONTEXT_ALL, CONTEXT_CAPTIONS, CONTEXT_NONE } BenchContext;

/* What a command works on. */
typedef struct BenchData {
    const char *dir;      /* the official files */
    const char *split;    /* the benchmark's own where none was given */
    int64_t limit;        /* only the first so many questions are asked and scored; 0: all */
    BenchContext context; /* of a benchmark with has_context */
    bool gill_compat;     /* VIST: drawings are named as GILL's scripts name them */
} BenchData;

/* A question as it is asked. Texts are valid until the visit returns. */
typedef struct BenchQuestion {
    Span id;
    bool number;          /* the id is written as an integer */
    Span prompt;          /* what is asked, and the answer line repeats */
    Span suffix;          /* what is asked behind it and not repeated (MMBench) */
    const char *image;    /* path below the data folder, or NULL: none */
    const uint8_t *bytes; /* of the picture, where it lies in the files themselves; NULL: a path */
    size_t n_bytes;
    Span after_id, after_text; /* further members of the answer line, as JSON ("\"round_id\": 0"); empty: none */
} BenchQuestion;
typedef Status (*BenchVisit)(void *arg, const BenchQuestion *q);

/* A picture that a benchmark asks for. Texts are valid until the visit returns. */
typedef struct BenchDrawing {
    int64_t unit;              /* of what --limit and --chunk count, from 0: captions, stories, sessions of edits */
    Span id;                   /* what its seed depends on */
    const char *name;          /* of its file, below the folder of drawings */
    Span prompt;               /* with an <image> for each of `images`, where these stand in the text; without any they stand first */
    const char *const *images; /* paths below the data folder, of what the model sees */
    int n_images;
    bool edits;       /* the picture is the first of these, changed … */
    const char *from; /* … or, in its place, an earlier drawing of the same unit, by its name; NULL: none */
    const char *goal; /* path below the data folder, of what the drawing should have been; NULL: nothing */
    Span caption;     /* what the goal shows; empty: nobody says */
} BenchDrawing;
typedef Status (*DrawingVisit)(void *arg, const BenchDrawing *q);

/* Requests for a judge model. A text with no bytes is left out. */
typedef struct JudgeRequest {
    Span id; /* of A-Z a-z 0-9 _ -, at most 64 */
    Span system, user;
    double temperature;
    int max_tokens;
} JudgeRequest;
typedef Status (*JudgeVisit)(void *arg, const JudgeRequest *r);

typedef struct Bench {
    const char *name;
    const char *split;                              /* default */
    const char *files, *pictures, *suffix, *metric; /* for people: evaluate --list */
    const char *note;                               /* what differs from how published figures were made; NULL: nothing */
    int max_new_tokens;
    /* How answers are known: NULL: by their question_id alone. */
    MUST_USE Status (*key)(Pool *pool, const Json *answer, Span *key);
    /* Calls visit with every question, in the official order. NULL: it is about pictures, which are drawn elsewhere. */
    MUST_USE Status (*questions)(const BenchData *d, BenchVisit visit, void *arg);
    /* NULL: there are no labels to score with. A judged benchmark scores from replies: `a` holds those (answers_read_replies), by request.
     */
    MUST_USE Status (*score)(const BenchData *d, Answers *a, Scores *s);
    /* What the benchmark's server takes, into `out`; NULL: it has no server. */
    MUST_USE Status (*submit)(const BenchData *d, Answers *a, const char *out);
    bool submits_folder; /* `out` is one */
    bool submits_all;    /* its server takes no submission that lacks an answer, so `submit` makes none */
    /* Calls visit with a request for every answer, and counts questions and missing answers in s; NULL: it needs no judge. */
    MUST_USE Status (*judge)(const BenchData *d, Answers *a, Scores *s, JudgeVisit visit, void *arg);
    /* Of a judge that only reads what answers say: `score` does without it, this with its replies to what it was asked. Else NULL. */
    MUST_USE Status (*score_replies)(const BenchData *d, Answers *a, Answers *replies, Scores *s);
    const char *judge_model; /* what the authors asked */
    /* Of a benchmark of pictures, which has none of the functions above. Calls visit with every picture to be drawn, in order. */
    MUST_USE Status (*drawings)(const BenchData *d, DrawingVisit visit, void *arg);
    bool has_context;    /* d->context makes a difference */
    int32_t square_side; /* FID sees the middles of drawings and goals, resized to this; 0: as they are */
    /* What was drawn lies in the folder `made`. f: what networks make of the drawings, NULL: nothing is known. Numbers are as the authors
     * have them, mostly from 0 to 1. Counts pictures and missing ones in s; these are left out of its means. */
    MUST_USE Status (*score_pictures)(const BenchData *d, const char *made, Networks *f, Scores *s);
    int32_t lpips_side;   /* LPIPS sees drawings and goals stretched to a square of this; 0: drawings at their goal's size */
    bool of_openai;       /* CLIP's pictures are cropped as OpenAI's code does */
    const char *networks; /* what the scores by networks need: names of files of features, with a blank between; NULL: there are none */
} Bench;

extern const Bench *const BENCHES[]; /* ends with NULL */
const Bench *bench_named(const char *name);
/* ERR_DATA: the official files hold no question. */
MUST_USE Status bench_empty(const Bench *b, const BenchData *d);
/* b->drawings of the first d->limit units; a name that leads out of the folder of drawings is ERR_DATA, and so is none at all. */
MUST_USE Status bench_drawings(const Bench *b, const BenchData *d, DrawingVisit visit, void *arg);
/* The file of a drawing in the folder `made`, into path[PATH_MAX]; false: there is none. Edits may be .jpg. */
bool bench_find_drawing(char *path, const char *made, const char *name, bool edits);
/* Counts these drawings and those that are missing in s, and adds to the sums what f knows about the others. */
MUST_USE Status bench_networks(const Bench *b, const BenchData *d, const char *made, Networks *f, NetworkSums *sums, Scores *s);

/* ---- official.c: reading official files. Messages name the file, and say where the value stands. */
/* DIR/NAME into path[PATH_MAX]; name is a format ("%s_questions.json"). Returns it. */
char *official_path(char *path, const BenchData *d, const char *name, ...) PRINTF_LIKE(3, 4);
MUST_USE Status official_json(JsonDoc **doc, const char *path); /* of a file that is one object */
/* A member that must be there, and be of a kind; where: the file, for the message. */
MUST_USE Status official_text(Span *out, const Json *object, const char *key, const char *where);
MUST_USE Status official_int(int64_t *out, const Json *object, const char *key, const char *where);
MUST_USE Status official_get(const Json **out, const Json *object, const char *key, JsonKind kind, const char *where);
/* Calls visit with every row of a file that may be large: lines or a JSON array (member NULL), or the elements of an array that is a member
 * of the one object. Every row is an object; none at all is ERR_DATA. */
typedef Status (*RowVisit)(void *arg, const Json *row);
MUST_USE Status official_rows(const char *path, const char *member, RowVisit visit, void *arg);
/* Calls visit with every member of the one object that a large file is, each an object. */
typedef Status (*MemberVisit)(void *arg, const char *key, const Json *member);
MUST_USE Status official_members(const char *path, MemberVisit visit, void *arg);
/* The text of an id that may be written as an integer or as text. */
MUST_USE Status official_id(Pool *p, Span *out, bool *number, const Json *object, const char *key, const char *where);
#endif
