/* clip_vocabulary.h: the files of a CLIP tokenizer's folder: pieces, merges, the tokens that are found whole in texts. Read by
 * clip_vocabulary.c for clip_tokenizer.c alone. */
#ifndef GENLLAVA_DATA_TEXT_CLIP_VOCABULARY_H
#define GENLLAVA_DATA_TEXT_CLIP_VOCABULARY_H

#include "data/formats/json_fields.h"
#include "data/text/clip_tokenizer.h"

/* A piece as the files spell it. */
typedef struct ClipPiece {
    const char *bytes;
    size_t n;
    int32_t id;
} ClipPiece;

/* left and right become `merged`; of those that could, the one with the least rank. */
typedef struct ClipMerge {
    int32_t left, right, rank, merged;
} ClipMerge;

/* A token that stands for an id wherever a text spells it: before the text is normalised, or after. */
typedef struct ClipAdded {
    char *text;
    size_t n;
    int32_t id;
    bool normalized;
} ClipAdded;

typedef struct ClipVocabulary {
    ClipTokenizerInfo info;
    int32_t unk;
    int32_t byte[2][256]; /* ids of single bytes: inside a word, at its end */
    JsonFields file;      /* vocab.json or tokenizer.json: pieces point into it */
    ClipPiece *pieces;    /* sorted by compare_pieces */
    size_t n_pieces;
    ClipMerge *merges; /* sorted by (left, right), each pair once */
    size_t n_merges;
    ClipAdded *added;
    size_t n_added;
} ClipVocabulary;

MUST_USE Status clip_vocabulary_read(ClipVocabulary *v, const char *folder);
void clip_vocabulary_free(ClipVocabulary *v);
const ClipMerge *clip_vocabulary_merge(const ClipVocabulary *v, int32_t left, int32_t right); /* NULL: these do not merge */
#endif
