/* pass_arrays.c: room for the arrays of a pass (pass_arrays.h). Called by the loader. */
#include "data/loader/pass_arrays.h"

#include "kernels/base/arena.h"

bool pass_array_grow(void *array, int64_t n, size_t size)
{
    void **at = array, *more = mem_grow(*at, (size_t)n * size);
    if (more)
        *at = more;
    return more;
}

Status pass_arrays_room(PassArrays *a, const PassShape *s)
{
    bool ok = true;
    if (s->tokens > a->tokens) {
        ok = pass_array_grow(&a->id, s->tokens, sizeof *a->id) && pass_array_grow(&a->pos, s->tokens, sizeof *a->pos) &&
             pass_array_grow(&a->item, s->tokens, sizeof *a->item);
        a->tokens = ok ? s->tokens : 0;
    }
    if (ok && s->segments > a->segments) {
        ok = pass_array_grow(&a->cu, s->segments + 1, sizeof *a->cu) && pass_array_grow(&a->record, s->segments, sizeof *a->record) &&
             pass_array_grow(&a->weight, s->segments, sizeof *a->weight) && pass_array_grow(&a->task, s->segments, sizeof *a->task) &&
             pass_array_grow(&a->uid, s->segments, sizeof *a->uid);
        a->segments = ok ? s->segments : 0;
    }
    if (ok && s->labels > a->labels) {
        ok = pass_array_grow(&a->label_row, s->labels, sizeof *a->label_row) && pass_array_grow(&a->label, s->labels, sizeof *a->label) &&
             pass_array_grow(&a->label_record, s->labels, sizeof *a->label_record) &&
             pass_array_grow(&a->label_weight, s->labels, sizeof *a->label_weight) &&
             pass_array_grow(&a->label_position, s->labels, sizeof *a->label_position);
        a->labels = ok ? s->labels : 0;
    }
    int64_t targets = (int64_t)s->generate + s->edit;
    if (ok && targets > a->targets) {
        ok = pass_array_grow(&a->target_row, targets, sizeof *a->target_row) &&
             pass_array_grow(&a->target_segment, targets, sizeof *a->target_segment) &&
             pass_array_grow(&a->target_picture, targets, sizeof *a->target_picture) &&
             pass_array_grow(&a->source_picture, targets, sizeof *a->source_picture) &&
             pass_array_grow(&a->target_weight, targets, sizeof *a->target_weight) &&
             pass_array_grow(&a->target_prompt, targets, sizeof *a->target_prompt) &&
             pass_array_grow(&a->target_state, targets, sizeof *a->target_state);
        a->targets = ok ? targets : 0;
    }
    return ok ? OK : fail(ERR_NOMEM, "no memory for a pass of %d tokens and %d images", s->tokens, s->images);
}

void pass_arrays_free(PassArrays *a)
{
    void *const arrays[] = {a->cu, a->id, a->pos, a->item, a->label_row, a->label, a->label_record, a->label_position, a->record,
                            a->label_weight, a->weight, a->task, a->pixels, a->uid, a->target_row, a->target_segment, a->target_picture,
                            a->source_picture, a->target_weight, a->target_prompt, a->target_pixels, a->source_pixels, a->target_state,
                            a->target_moments, a->source_moments, a->states};
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++)
        mem_free(arrays[i]);
    *a = (PassArrays){0};
}
