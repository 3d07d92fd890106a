/* words.h: a bounded table of words and the pieces that they became. Called by tokenizer.cc, under its lock. */
#ifndef GENLLAVA_DATA_TEXT_WORDS_H
#define GENLLAVA_DATA_TEXT_WORDS_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { WORD_MOST_BYTES = 56, WORD_MOST_PIECES = 14 }; /* longer words are not kept */

/* Two cache lines. */
typedef struct Word {
    uint8_t n_bytes, n_pieces;
    uint8_t ends[WORD_MOST_PIECES]; /* the byte of the word at which each piece ends */
    int32_t ids[WORD_MOST_PIECES];
    char text[WORD_MOST_BYTES];
} Word;

typedef struct Words Words;
Words *words_create(void); /* 8 MiB, of which only what is used is touched; NULL: no memory */
void words_free(Words *w);
/* NULL: not kept. Valid until the next call. n >= 1. */
const Word *words_find(Words *w, const char *text, size_t n);
/* Of a word that was not found. It takes the place of one that was not met for long. */
void words_keep(Words *w, const char *text, size_t n, const int32_t *ids, const uint32_t *ends, size_t n_pieces);

#ifdef __cplusplus
}
#endif
#endif
