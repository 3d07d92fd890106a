/* tokenizer.h: SentencePiece vocabularies (tokenizer.model), with byte offsets. Plain text only: control pieces are never produced from
 * text; added tokens are ids beyond the vocabulary that callers insert themselves. */
#ifndef GENLLAVA_DATA_TEXT_TOKENIZER_H
#define GENLLAVA_DATA_TEXT_TOKENIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct Tokenizer Tokenizer;

typedef struct TokenizerInfo {
    int32_t n_pieces, bos, eos, unk;
    bool dummy_prefix;  /* each text has a space put before it */
    uint8_t sha256[32]; /* of the model file's bytes */
} TokenizerInfo;

/* Refuses models that are not BPE with byte fallback, normalising or whitespace-collapsing ones, and names what was found. */
MUST_USE Status tokenizer_open(Tokenizer **out, const char *path);
void tokenizer_close(Tokenizer **t);
const TokenizerInfo *tokenizer_info(const Tokenizer *t);

/* What becomes of a text. end[i] is the byte offset where piece i ends in it (byte pieces of one character: all but the last end where it
 * starts). */
typedef struct TokenizerOutput {
    int32_t *ids;
    uint32_t *end;
    int64_t cap;   /* of both: as many are written at most */
    int64_t after; /* n_after: how many of all pieces, written or not, end behind this byte */
    int64_t n_after;
} TokenizerOutput;
enum { TOKENIZER_NO_MEMORY = -1, TOKENIZER_TOO_LONG = -2, TOKENIZER_WORD_BYTES = 1 << 20 };

/* Ids of text[0..n) (UTF-8; may contain NUL), no BOS; the dummy prefix of a non-empty segment has zero width. Returns how many there are,
 * or one of the negative numbers: SentencePiece takes some 230 bytes for each byte, so no word may be longer than TOKENIZER_WORD_BYTES.
 * Words are what spaces separate. Where a vocabulary shows, when it is opened, that each word of a text becomes the same pieces by itself,
 * words are encoded one by one and those met before are remembered, up to 8 MiB of them; elsewhere the whole text is one word. Thread-safe.
 */
int64_t tokenizer_encode(const Tokenizer *t, const char *text, size_t n, TokenizerOutput *out);

/* Text of ids: control and out-of-vocabulary ids skipped, ▁ to space, invalid UTF-8 to U+FFFD, one leading space dropped.
 * Returns the bytes needed without the NUL; writes at most cap-1 and a NUL. */
int64_t tokenizer_decode(const Tokenizer *t, const int32_t *ids, int64_t n, char *buf, int64_t cap);
/* The piece as the vocabulary spells it ("▁the", "<0x0A>"), or "" when out of range. */
const char *tokenizer_piece(const Tokenizer *t, int32_t id);
/* What a piece is, in SentencePiece's own numbers, which are those of GGUF too. */
typedef enum PieceKind { PIECE_NORMAL = 1, PIECE_UNKNOWN, PIECE_CONTROL, PIECE_USER, PIECE_UNUSED, PIECE_BYTE } PieceKind;
PieceKind tokenizer_kind(const Tokenizer *t, int32_t id); /* id within the vocabulary, here and below */
float tokenizer_score(const Tokenizer *t, int32_t id);
/* The piece of any kind that is spelled so, or -1. */
int32_t tokenizer_find(const Tokenizer *t, const char *piece, size_t n);
/* The control piece that is spelled so, or -1. */
int32_t tokenizer_control(const Tokenizer *t, const char *piece);

#ifdef __cplusplus
}
#endif
#endif
