/* nfc.h: text in Unicode's composed normal form, and in lower case, in time that grows with its length alone, whatever it holds. For
 * clip_tokenizer.c. The characters are those of Unicode as the installed utf8proc knows it. */
#ifndef GENLLAVA_DATA_TEXT_NFC_H
#define GENLLAVA_DATA_TEXT_NFC_H

#include <stddef.h>

#include "kernels/base/status.h"

/* text[0..n) (a byte that is not UTF-8 counts as U+FFFD): NFC, then each character in lower case by itself, as UTF-8 of *length bytes
 * and a NUL; the caller frees with mem_free. ERR_NOMEM. */
MUST_USE Status nfc_lower(char **out, size_t *length, const char *text, size_t n);
#endif
