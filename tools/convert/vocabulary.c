/* vocabulary.c: the tokens of an exported model by id (vocabulary.h). Called by tokenizer_files.c and by the writer of GGUF. */
#include "tools/convert/vocabulary.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "kernels/base/arena.h"
#include "kernels/base/utf8.h"

/* ---------------------------------------------------------------- pieces */

/* Whether a piece of this text may take part in merges. */
static bool is_mergeable(const Tokenizer *t, const char *text, size_t n)
{
    const int32_t id = tokenizer_find(t, text, n);
    return id >= 0 && (tokenizer_kind(t, id) == PIECE_NORMAL || tokenizer_kind(t, id) == PIECE_UNUSED);
}

/* Whether two pieces make this one. */
static bool is_merged(const Tokenizer *t, const char *text)
{
    const size_t n = strlen(text);
    for (size_t cut = 1; cut < n; cut++)
        if (is_mergeable(t, text, cut) && is_mergeable(t, text + cut, n - cut))
            return true;
    return false;
}

static bool is_utf8(const char *text)
{
    const size_t n = strlen(text);
    size_t at = 0;
    for (int k; at < n && (k = utf8_decode(text + at, n - at, NULL)); at += (size_t)k)
        ;
    return at == n;
}

/* SentencePiece finds user-defined pieces before all others and puts no space behind them; it merges through unused pieces and takes them
 * apart afterwards. Others do neither. */
static Status check_piece(const Vocabulary *v, int32_t id)
{
    const char *text = v->token[id], *why = NULL;
    if (!is_utf8(text))
        why = "is not UTF-8";
    else if (v->kind[id] == PIECE_USER)
        why = "is user-defined";
    else if (v->kind[id] == PIECE_UNUSED && is_merged(v->tokenizer, text))
        why = "is unused, but made by merging others";
    if (!why)
        return OK;
    return fail(ERR_DATA,
                "%s: piece %d, \"%s\", %s, which only SentencePiece tokenises rightly: take --to peft or parts, which keep the "
                "vocabulary as it is",
                v->path, id, text, why);
}

static Status take_pieces(Vocabulary *v)
{
    for (int32_t id = 0; id < v->n_pieces; id++) {
        v->token[id] = tokenizer_piece(v->tokenizer, id);
        v->score[id] = tokenizer_score(v->tokenizer, id);
        v->kind[id] = tokenizer_kind(v->tokenizer, id);
        TRY(check_piece(v, id));
    }
    return OK;
}

/* ---------------------------------------------------------------- what comes behind them */

static const char NAMED[] = "model.tokens.task names such tokens";

static Status take_added(Vocabulary *v, const char *const *added)
{
    for (int32_t id = v->n_rows; id < v->n; id++) {
        const char *text = added[id - v->n_rows];
        const int32_t piece = tokenizer_find(v->tokenizer, text, strlen(text));
        if (!*text)
            return fail(ERR_DATA, "the added token %d has an empty text; %s", id, NAMED);
        if (piece >= 0)
            return fail(ERR_DATA, "the added token %d is spelled \"%s\", as piece %d of %s is: it cannot be told from text; %s", id, text,
                        piece, v->path, NAMED);
        for (int32_t other = v->n_rows; other < id; other++)
            if (!strcmp(text, v->token[other]))
                return fail(ERR_DATA, "the added tokens %d and %d are both spelled \"%s\": they cannot be told apart; %s", other, id, text,
                            NAMED);
        v->token[id] = text;
        v->score[id] = VOCABULARY_ADDED_SCORE;
        v->kind[id] = PIECE_CONTROL;
    }
    return OK;
}

static bool is_taken(const Vocabulary *v, const char *text)
{
    for (int32_t id = v->n_rows; id < v->n; id++)
        if (!strcmp(text, v->token[id]))
            return true;
    return tokenizer_find(v->tokenizer, text, strlen(text)) >= 0;
}

enum { FILL_IN_BYTES = 48 };

static void take_fill_ins(Vocabulary *v, const char *open, const char *close)
{
    for (int32_t id = v->n_pieces; id < v->n_rows; id++) {
        char *text = v->fill_ins + (size_t)(id - v->n_pieces) * FILL_IN_BYTES;
        size_t n = (size_t)snprintf(text, FILL_IN_BYTES, "%s%d%s", open, id, close);
        for (; n + 1 < FILL_IN_BYTES && is_taken(v, text); n++)
            memcpy(text + n, "_", 2);
        v->token[id] = text;
        v->score[id] = VOCABULARY_ADDED_SCORE;
        v->kind[id] = PIECE_UNUSED;
    }
}

static Status make(Vocabulary *v, const char *const *added, int n_added, const char *fill_open, const char *fill_close)
{
    TRY(tokenizer_open(&v->tokenizer, v->path));
    v->info = *tokenizer_info(v->tokenizer);
    v->n_pieces = v->info.n_pieces;
    v->n = v->n_rows + n_added;
    if (v->n_pieces > v->n_rows)
        return fail(ERR_DATA, "%s: %d pieces, but the language model's config.json says vocab_size %d: they do not belong together",
                    v->path, v->n_pieces, v->n_rows);
    v->token = mem_alloc((size_t)v->n * sizeof *v->token);
    v->score = mem_alloc((size_t)v->n * sizeof *v->score);
    v->kind = mem_alloc((size_t)v->n * sizeof *v->kind);
    v->fill_ins = mem_alloc((size_t)(v->n_rows - v->n_pieces) * FILL_IN_BYTES + 1);
    if (!v->token || !v->score || !v->kind || !v->fill_ins)
        return fail(ERR_NOMEM, "%s: no memory for a vocabulary of %d tokens", v->path, v->n);
    TRY(take_pieces(v));
    TRY(take_added(v, added));
    take_fill_ins(v, fill_open, fill_close);
    return OK;
}

Status vocabulary_make(Vocabulary *v, const char *model_path, int32_t n_rows, const char *const *added, int n_added, const char *fill_open,
                       const char *fill_close)
{
    *v = (Vocabulary){.n_rows = n_rows};
    snprintf(v->path, sizeof v->path, "%s", model_path);
    Status s = make(v, added, n_added, fill_open, fill_close);
    if (s)
        vocabulary_free(v);
    return s;
}

void vocabulary_free(Vocabulary *v)
{
    tokenizer_close(&v->tokenizer);
    mem_free(v->token);
    mem_free(v->score);
    mem_free(v->kind);
    mem_free(v->fill_ins);
    *v = (Vocabulary){.n = 0};
}

/* ---------------------------------------------------------------- llama.cpp */

Status vocabulary_check_llama_cpp(const Vocabulary *v)
{
    /* src/llama-vocab.cpp of llama.cpp: tokens that end generation, found by their texts. */
    static const char *const ENDS[] = {
        "<|eot_id|>",        "<|eom_id|>", "<|im_end|>", "<|end|>", "<|return|>", "<|call|>",      "<|calls|>", "<|flush|>",
        "<end_of_turn>",     "<EOT>",      "_<EOT>",     "[EOT]",   "[EOS]",      "<|endoftext|>", "<eos>",     "<|end_of_text|>",
        "<end_of_utterance>"};
    for (int32_t id = v->n_rows; id < v->n; id++)
        for (size_t i = 0; i < sizeof ENDS / sizeof *ENDS; i++)
            if (!strcmp(v->token[id], ENDS[i]))
                return fail(ERR_DATA, "the added token %d is spelled \"%s\", at which llama.cpp ends every answer: no gguf; %s", id,
                            v->token[id], NAMED);
    return OK;
}
