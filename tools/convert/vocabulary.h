/* vocabulary.h: the vocabulary of an exported model: the pieces of tokenizer.model, fill-ins up to the rows of the base, added tokens. Used
 * by the writers of tokenizer.json and of GGUF. */
#ifndef GENLLAVA_TOOLS_CONVERT_VOCABULARY_H
#define GENLLAVA_TOOLS_CONVERT_VOCABULARY_H

#include <limits.h>

#include "data/text/tokenizer.h"

typedef struct Vocabulary {
    Tokenizer *tokenizer;
    TokenizerInfo info;
    char path[PATH_MAX];         /* of tokenizer.model */
    int32_t n_pieces, n_rows, n; /* ids of pieces, of fill-ins and of added tokens end there; n_rows: V */
    const char **token;          /* [n] texts, no two alike */
    float *score;                /* [n] of pieces; VOCABULARY_ADDED_SCORE of the others */
    int32_t *kind;               /* [n] PieceKind; fill-ins are unused pieces, added tokens control pieces */
    char *fill_ins;              /* their texts */
} Vocabulary;
#define VOCABULARY_ADDED_SCORE (-1000.0f)

/* A fill-in is called fill_open, its id, fill_close, and "_" behind that while another token is called so. added: texts of the ids V, V+1,
 * …, borrowed. Refused (ERR_DATA): pieces that no tokenizer but SentencePiece treats as it does, and an added token that is spelled
 * like a piece or like another one. */
MUST_USE Status vocabulary_make(Vocabulary *v, const char *model_path, int32_t n_rows, const char *const *added, int n_added,
                                const char *fill_open, const char *fill_close);
void vocabulary_free(Vocabulary *v);
/* llama.cpp ends answers at tokens of certain texts: an added token may not have one of them (ERR_DATA). */
MUST_USE Status vocabulary_check_llama_cpp(const Vocabulary *v);
#endif
