/* index.c: the labels of a sample, and how many there are for the index of records (index.h). Called by prepare, shard_set.c and the
 * loader. */
#include "data/shards/index.h"

#include "data/kinds.h"
#include "kernels/base/arena.h"

bool index_is_label(int32_t id, uint8_t mask, int32_t first_visual, VisualLabels which)
{
    if (mask >> MASK_KIND_SHIFT == KIND_VISUAL && (which == VISUAL_NONE || (which == VISUAL_FIRST && id != first_visual)))
        return false;
    return mask & MASK_TRAINED;
}

void index_count_labels(IndexRow *row, const int32_t *id, const uint8_t *mask, int64_t n, int32_t first_visual)
{
    row->labels_text = row->labels_visual = row->labels_first = 0;
    for (int64_t i = 1; i < n; i++) { /* nothing predicts the token at position 0 */
        bool text = index_is_label(id[i], mask[i], first_visual, VISUAL_NONE);
        row->labels_text += text;
        row->labels_visual += !text && index_is_label(id[i], mask[i], first_visual, VISUAL_ALL);
        row->labels_first += !text && index_is_label(id[i], mask[i], first_visual, VISUAL_FIRST);
    }
}

void index_free(RecordIndex *x)
{
    mem_free(x->rows);
    *x = (RecordIndex){0};
}
