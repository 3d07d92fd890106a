/* index.c: counts the labels of a sample for the index of records (index.h). Called by prepare and by shard_set.c. */
#include "data/shards/index.h"

#include "data/kinds.h"
#include "kernels/base/arena.h"

void index_count_labels(IndexRow *row, const int32_t *id, const uint8_t *mask, int64_t n, int32_t first_visual)
{
    row->labels_text = row->labels_visual = row->labels_first = 0;
    for (int64_t i = 1; i < n; i++) { /* nothing predicts the token at position 0 */
        if (!(mask[i] & MASK_TRAINED))
            continue;
        bool visual = mask[i] >> MASK_KIND_SHIFT == KIND_VISUAL;
        row->labels_text += !visual;
        row->labels_visual += visual;
        row->labels_first += visual && id[i] == first_visual;
    }
}

void index_free(RecordIndex *x)
{
    mem_free(x->rows);
    *x = (RecordIndex){0};
}
