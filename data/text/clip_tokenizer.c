/* clip_tokenizer.c: text to CLIP's ids (clip_tokenizer.h); the vocabulary's files are read by clip_vocabulary.c. */
#include "data/text/clip_tokenizer.h"

#include <string.h>
#include <utf8proc.h>

#include "data/text/clip_vocabulary.h"
#include "data/text/nfc.h"
#include "kernels/base/arena.h"
#include "kernels/base/utf8.h"

struct ClipTokenizer {
    ClipVocabulary v;
};

Status clip_tokenizer_open(ClipTokenizer **out, const char *folder)
{
    ClipTokenizer *t = *out = mem_alloc(sizeof *t);
    if (!t)
        return fail(ERR_NOMEM, "%s: no memory for the tokenizer", folder);
    Status s = clip_vocabulary_read(&t->v, folder);
    if (s)
        clip_tokenizer_close(out);
    return s;
}

void clip_tokenizer_close(ClipTokenizer **t)
{
    if (*t)
        clip_vocabulary_free(&(*t)->v);
    mem_free(*t);
    *t = NULL;
}

const ClipTokenizerInfo *clip_tokenizer_info(const ClipTokenizer *t) { return &t->v.info; }

/* Where ids go; what comes after the last is dropped. id NULL: they are counted. */
typedef struct Sink {
    int32_t *id;
    int32_t n, room;
} Sink;

static void put(Sink *out, int32_t id)
{
    if (out->n >= out->room)
        return;
    if (out->id)
        out->id[out->n] = id;
    out->n++;
}

/* ---------------------------------------------------------------- byte pairs */

/* A piece of the word, linked to those beside it. -1: none. */
typedef struct Symbol {
    int32_t id, before, after; /* id -1: it was merged into the one before */
} Symbol;

/* A pair that may be merged: the piece at `left` and the one after it. */
typedef struct Pair {
    int32_t rank, left, merged;
} Pair;

typedef struct Heap {
    Pair *pairs; /* the least (rank, left) first */
    size_t n;
} Heap;

static bool is_less(Pair a, Pair b) { return a.rank != b.rank ? a.rank < b.rank : a.left < b.left; }

static void heap_push(Heap *h, Pair p)
{
    size_t i = h->n++;
    for (; i && is_less(p, h->pairs[(i - 1) / 2]); i = (i - 1) / 2)
        h->pairs[i] = h->pairs[(i - 1) / 2];
    h->pairs[i] = p;
}

static Pair heap_pop(Heap *h)
{
    Pair top = h->pairs[0], last = h->pairs[--h->n];
    size_t i = 0, child;
    while ((child = 2 * i + 1) < h->n) {
        child += child + 1 < h->n && is_less(h->pairs[child + 1], h->pairs[child]);
        if (!is_less(h->pairs[child], last))
            break;
        h->pairs[i] = h->pairs[child];
        i = child;
    }
    h->pairs[i] = last;
    return top;
}

static void push_pair(Heap *h, const ClipVocabulary *v, const Symbol *symbols, int32_t left)
{
    int32_t right = left < 0 ? -1 : symbols[left].after;
    const ClipMerge *m = right < 0 ? NULL : clip_vocabulary_merge(v, symbols[left].id, symbols[right].id);
    if (m)
        heap_push(h, (Pair){m->rank, left, m->merged});
}

/* Merges the pair unless one of its pieces has changed since it was pushed. */
static void merge_pair(Heap *h, const ClipVocabulary *v, Symbol *symbols, Pair p)
{
    Symbol *left = &symbols[p.left];
    if (left->id < 0 || left->after < 0)
        return;
    const ClipMerge *m = clip_vocabulary_merge(v, left->id, symbols[left->after].id);
    if (!m || m->merged != p.merged)
        return;
    Symbol *right = &symbols[left->after];
    left->id = p.merged;
    left->after = right->after;
    right->id = -1;
    if (left->after >= 0)
        symbols[left->after].before = p.left;
    push_pair(h, v, symbols, left->before);
    push_pair(h, v, symbols, p.left);
}

/* The ids of a word of at least one byte. Every merge pushes two pairs at most, so 3n have room. */
static Status encode_word(const ClipVocabulary *v, const char *word, size_t n, Sink *out)
{
    if (n > INT32_MAX / 4)
        return fail(ERR_NOMEM, "no memory for a word of %zu bytes", n);
    Symbol *symbols = mem_alloc(n * sizeof *symbols);
    Heap h = {.pairs = mem_alloc(3 * n * sizeof *h.pairs)};
    Status s = symbols && h.pairs ? OK : fail(ERR_NOMEM, "no memory for a word of %zu bytes", n);
    for (int32_t i = 0, last = (int32_t)n - 1; !s && i <= last; i++)
        symbols[i] = (Symbol){v->byte[i == last][(unsigned char)word[i]], i - 1, i < last ? i + 1 : -1};
    for (int32_t i = 0; !s && i < (int32_t)n; i++)
        push_pair(&h, v, symbols, i);
    while (h.n)
        merge_pair(&h, v, symbols, heap_pop(&h));
    for (int32_t i = 0; !s && i >= 0; i = symbols[i].after)
        put(out, symbols[i].id);
    mem_free(symbols);
    mem_free(h.pairs);
    return s;
}

/* ---------------------------------------------------------------- words */

typedef enum CharKind { LETTER, NUMBER, BLANK, OTHER } CharKind;

static CharKind kind_of(uint32_t c)
{
    switch (utf8proc_category((utf8proc_int32_t)c)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO: return LETTER;
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO: return NUMBER;
    case UTF8PROC_CATEGORY_ZS:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP: return BLANK;
    default: return (c >= 0x09 && c <= 0x0D) || c == 0x85 ? BLANK : OTHER;
    }
}

static size_t length_if(const char *text, size_t n, const char *wanted)
{
    size_t length = strlen(wanted);
    return n >= length && !memcmp(text, wanted, length) ? length : 0;
}

/* Bytes of the first of these that the text begins with; 0: of none. */
static size_t first_of(const char *text, size_t n, const char *const *wanted)
{
    size_t length = 0;
    for (; *wanted && !length; wanted++)
        length = length_if(text, n, *wanted);
    return length;
}

/* Bytes of the word that text[0..n) begins with, and whether it is white space, which is no word. */
static size_t word_length(const char *text, size_t n, bool *blank)
{
    static const char *const ENDINGS[] = {"'s", "'t", "'re", "'ve", "'m", "'ll", "'d", NULL};
    uint32_t c = 0;
    size_t ending = first_of(text, n, ENDINGS), at = (size_t)utf8_decode(text, n, &c);
    CharKind kind = kind_of(c);
    *blank = kind == BLANK;
    if (ending)
        return ending;
    for (int k; kind != NUMBER && at < n && (k = utf8_decode(text + at, n - at, &c)) && kind_of(c) == kind; at += (size_t)k)
        ;
    return at;
}

/* Bytes of a special token's spelling that the text begins with, where it is none of the added tokens (it was written in capitals). */
static size_t spelled_token(const char *text, size_t n)
{
    static const char *const TOKENS[] = {"<|startoftext|>", "<|endoftext|>", NULL};
    return first_of(text, n, TOKENS);
}

/* To the pattern such a spelling is a word, but bytes are cut once more by GPT-2's pattern, which makes three of it. */
static Status encode_token(const ClipVocabulary *v, const char *text, size_t n, Sink *out)
{
    enum { BRACKET = 2 };
    TRY(encode_word(v, text, BRACKET, out));
    TRY(encode_word(v, text + BRACKET, n - 2 * BRACKET, out));
    return encode_word(v, text + n - BRACKET, BRACKET, out);
}

static Status encode_words(const ClipVocabulary *v, const char *text, size_t n, Sink *out)
{
    for (size_t at = 0, length; at < n && out->n < out->room; at += length) {
        bool blank = false;
        length = spelled_token(text + at, n - at);
        if (length) {
            TRY(encode_token(v, text + at, length, out));
            continue;
        }
        length = word_length(text + at, n - at, &blank);
        if (!blank)
            TRY(encode_word(v, text + at, length, out));
    }
    return OK;
}

/* ---------------------------------------------------------------- tokens in the text */

/* The longest added token that text[0..n) begins with, of those that are looked for before or after normalising; NULL: none. */
static const ClipAdded *added_at(const ClipVocabulary *v, const char *text, size_t n, bool normalized)
{
    const ClipAdded *longest = NULL;
    for (const ClipAdded *a = v->added; a < v->added + v->n_added; a++)
        if (a->normalized == normalized && a->n <= n && *a->text == *text && !memcmp(a->text, text, a->n) &&
            (!longest || a->n > longest->n))
            longest = a;
    return longest;
}

static Status encode_text(const ClipVocabulary *v, const char *text, size_t n, bool normalized, Sink *out);

/* What lies between added tokens. */
static Status encode_between(const ClipVocabulary *v, const char *text, size_t n, bool normalized, Sink *out)
{
    if (normalized || !n)
        return encode_words(v, text, n, out);
    char *clean;
    size_t length;
    TRY(nfc_lower(&clean, &length, text, n));
    Status s = encode_text(v, clean, length, true, out);
    mem_free(clean);
    return s;
}

static Status encode_text(const ClipVocabulary *v, const char *text, size_t n, bool normalized, Sink *out)
{
    size_t from = 0;
    for (size_t at = 0; at < n && out->n < out->room;) {
        const ClipAdded *a = added_at(v, text + at, n - at, normalized);
        if (!a) {
            at++;
            continue;
        }
        TRY(encode_between(v, text + from, at - from, normalized, out));
        put(out, a->id);
        from = at += a->n;
    }
    return encode_between(v, text + from, n - from, normalized, out);
}

Status clip_tokenize(const ClipTokenizer *t, const char *text, int32_t length, int32_t *id)
{
    const ClipTokenizerInfo *info = &t->v.info;
    Sink out = {.id = id, .n = 1, .room = length - 1};
    id[0] = info->start;
    TRY(encode_text(&t->v, text, strlen(text), false, &out));
    id[out.n++] = info->end;
    while (out.n < length)
        id[out.n++] = info->pad;
    return OK;
}

Status clip_token_count(const ClipTokenizer *t, const char *text, int32_t *n)
{
    Sink out = {.n = 1, .room = INT32_MAX - 1};
    TRY(encode_text(&t->v, text, strlen(text), false, &out));
    *n = out.n + 1;
    return OK;
}
