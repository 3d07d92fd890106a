/* words.c: words and their pieces, in small sets whose order is that of the last meeting (words.h). Called by tokenizer.cc. */
#include "data/text/words.h"

#include <stdbool.h>
#include <string.h>
#include <xxhash.h>

#include "kernels/base/arena.h"

enum { N_SETS = 1 << 14, IN_SET = 4 };

struct Words {
    Word sets[N_SETS][IN_SET]; /* n_bytes 0: empty */
};

Words *words_create(void) { return mem_alloc(sizeof(Words)); }
void words_free(Words *w) { mem_free(w); }

static Word *set_of(Words *w, const char *text, size_t n) { return w->sets[XXH3_64bits(text, n) % N_SETS]; }

static bool is_word(const Word *word, const char *text, size_t n) { return word->n_bytes == n && !memcmp(word->text, text, n); }

const Word *words_find(Words *w, const char *text, size_t n)
{
    if (n > WORD_MOST_BYTES)
        return NULL;
    Word *set = set_of(w, text, n);
    for (size_t i = 0; i < IN_SET; i++) {
        if (!is_word(&set[i], text, n))
            continue;
        if (i) {
            const Word met = set[i];
            memmove(set + 1, set, i * sizeof *set);
            set[0] = met;
        }
        return set;
    }
    return NULL;
}

void words_keep(Words *w, const char *text, size_t n, const int32_t *ids, const uint32_t *ends, size_t n_pieces)
{
    if (n > WORD_MOST_BYTES || n_pieces > WORD_MOST_PIECES)
        return;
    Word *set = set_of(w, text, n);
    memmove(set + 1, set, (IN_SET - 1) * sizeof *set);
    set->n_bytes = (uint8_t)n;
    set->n_pieces = (uint8_t)n_pieces;
    memcpy(set->text, text, n);
    memcpy(set->ids, ids, n_pieces * sizeof *ids);
    for (size_t i = 0; i < n_pieces; i++)
        set->ends[i] = (uint8_t)ends[i];
}
