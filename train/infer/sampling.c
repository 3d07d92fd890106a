/* Choosing the next token. */
#include <math.h>

#include "train/infer/answer.h"

static int32_t argmax(const float *logits, int32_t n)
{
    int32_t best = 0;
    for (int32_t i = 1; i < n; i++)
        if (logits[i] > logits[best])
            best = i;
    return best;
}

/* Orders ids by falling logit, ties by id: heap sort, so that no allocation and no global is needed. */
static bool before(const float *logits, int32_t a, int32_t b) { return logits[a] != logits[b] ? logits[a] > logits[b] : a < b; }

static void sift(const float *logits, int32_t *heap, int32_t root, int32_t n)
{
    for (int32_t child; (child = 2 * root + 1) < n; root = child) {
        if (child + 1 < n && before(logits, heap[child], heap[child + 1]))
            child++;
        if (!before(logits, heap[root], heap[child]))
            return;
        int32_t t = heap[root];
        heap[root] = heap[child];
        heap[child] = t;
    }
}

static void sort_ids(const float *logits, int32_t *ids, int32_t n)
{
    for (int32_t i = n / 2; i-- > 0;)
        sift(logits, ids, i, n);
    for (int32_t end = n; end-- > 1;) {
        int32_t t = ids[0];
        ids[0] = ids[end];
        ids[end] = t;
        sift(logits, ids, 0, end);
    }
}

int32_t sample_token(const float *logits, int32_t n, double temperature, double top_p, double draw, int32_t *scratch)
{
    int32_t best = argmax(logits, n);
    if (temperature <= 0)
        return best;
    for (int32_t i = 0; i < n; i++)
        scratch[i] = i;
    sort_ids(logits, scratch, n);
    double total = 0, top = logits[best];
    for (int32_t i = 0; i < n; i++)
        total += exp((logits[i] - top) / temperature);
    /* The nucleus: ids in falling probability until their sum reaches top_p. */
    double kept = 0;
    int32_t n_kept = 0;
    while (n_kept < n && kept < top_p * total)
        kept += exp((logits[scratch[n_kept++]] - top) / temperature);
    double left = draw * kept;
    for (int32_t i = 0; i < n_kept; i++) {
        left -= exp((logits[scratch[i]] - top) / temperature);
        if (left < 0)
            return scratch[i];
    }
    return n_kept ? scratch[n_kept - 1] : best;
}
