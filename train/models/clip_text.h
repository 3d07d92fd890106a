/* clip_text.h: the text encoder of a Stable Diffusion folder: prompts to the states that its UNet attends to. Always frozen. Spec: model.md
 * 5.1. */
#ifndef GENLLAVA_TRAIN_MODELS_CLIP_TEXT_H
#define GENLLAVA_TRAIN_MODELS_CLIP_TEXT_H

#include "data/formats/json_fields.h"
#include "data/text/clip_tokenizer.h"
#include "train/config/config.h"
#include "train/models/encoder.h"
#include "train/models/genllava.h"
#include "train/models/weights.h"
#include "train/nn/ops.h"

/* What config.json means where it says nothing: those of transformers' CLIPTextConfig; the generation head reads these two as well. */
enum { CLIP_TEXT_HIDDEN_DEFAULT = 512, CLIP_TEXT_LENGTH_DEFAULT = 77 };

typedef struct ClipTextConfig {
    int64_t vocab, hidden, ff, layers, heads, length; /* length: tokens of every prompt, padding included */
    ActKind act;
    double eps;
} ClipTextConfig;

typedef struct ClipText {
    ClipTextConfig config;
    Param *token, *position, *norm_w, *norm_b;
    EncoderBlock *blocks;
    ClipTokenizer *tokenizer; /* of the folder beside it; NULL while only sizes are wanted */
} ClipText;

/* The part "text_encoder" (parts.h), whose folder is text_encoder in that of model.diffusion.path; the tokenizer is read from the folder
 * tokenizer beside it. */
extern const NameTable CLIP_TEXT_NAMES;
extern const FieldClass CLIP_TEXT_FIELDS; /* of its config.json */
MUST_USE Status clip_text_configure(GenLlava *g, const RunConfig *cfg);
MUST_USE Status clip_text_declare(GenLlava *g, const RunConfig *cfg);
MUST_USE Status clip_text_load(GenLlava *g, const RunConfig *cfg, const char *folder);
void clip_text_free(GenLlava *g);
/* The parts of these for networks that are no part of a GenLlava (eval/features): the settings in an object of an open config.json; weights
 * under "text_model."; *blocks is the caller's, mem_free; the tokenizer of a folder, which has to be of the encoder of the other. */
void clip_text_read(JsonFields *f, const Json *o, ClipTextConfig *c);
MUST_USE Status clip_text_declare_in(Params *p, ClipText *m);
MUST_USE Status clip_text_open_tokenizer(ClipText *m, const char *folder, const char *tokenizer);
/* The file that stands in for the tokenizer's vocab.json, given the encoder's folder; NULL: there is none. */
const char *clip_tokenizer_file(const char *folder);

/* Ids [items, length] (host; NULL when measuring) -> states behind the last norm [items·length, hidden]. Padding takes part. */
Tensor *clip_text_forward(Tape *t, const ClipText *m, const int32_t *id, int64_t items);
/* The same of one prompt, for the host, which is all that stays: what is made of a prompt depends on no other, to the bit, so it can be
 * cached. While only sizes are wanted there is no tokenizer, and the prompt is not read. */
void clip_text_evaluate(Tape *t, const ClipText *m, const char *prompt, float *states);
#endif
