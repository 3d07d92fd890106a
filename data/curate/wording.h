/* wording.h: what is looked at in texts that models wrote, and how captions are compared. Called by answer.c.
 * All text is valid UTF-8 and may hold NUL. */
#ifndef GENLLAVA_DATA_CURATE_WORDING_H
#define GENLLAVA_DATA_CURATE_WORDING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/base/status.h"

/* Runs without white space. */
int64_t wording_words(const char *text, size_t n);
/* The first of the markers that stand for pictures or turns in a prompt, or NULL. */
const char *wording_marker(const char *text, size_t n);
/* The first phrase that speaks of the request and not of the picture, or NULL. */
const char *wording_mention(const char *text, size_t n);
/* Whether U+FFFD, which also stands for lone surrogates, is in it, or NUL, behind which other programs do not read. */
bool wording_is_damaged(const char *text, size_t n);
/* Whether more than a fifth of its letters are not Latin: of code points above U+024F, without punctuation, symbols and emoji, and the
 * Latin letters. */
bool wording_is_foreign(const char *text, size_t n);

/* Whether two captions say the same, as InstructPix2Pix compares them: stripped, without .!? at the ends, in lower case. */
bool wording_same_caption(const char *a, size_t n_a, const char *b, size_t n_b);
#endif
