/* loader.c: opens shards, checks that they suit the run, and gives out the passes of a step (loader.h). Called by the training loop. */
#include "data/loader/loader.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "data/kinds.h"
#include "data/loader/pass_arrays.h"
#include "data/loader/pixels.h"
#include "data/loader/plan.h"
#include "data/loader/prompts.h"
#include "data/loader/worst.h"
#include "data/shards/shard_set.h"
#include "data/loader/order.h"
#include "kernels/base/arena.h"

enum { MOST_SCANNED = 1 << 25 };

struct Loader {
    LoaderOptions o;
    int rank, n_ranks;
    ShardSet set; /* empty when planned from an index */
    const RecordIndex *index;
    Order *order;
    LoaderTotals totals;
    int64_t items; /* of the whole run */
    WorstPasses worst;
    int64_t step; /* the present one, -1: none */
    StepPlanning plan, next_plan;
    uint32_t *rows; /* scratch: items of a step */
    PixelUse *uses; /* scratch: pictures of a step */
    int64_t uses_capacity;
    int32_t *first_use; /* [n_passes] of the present step */
    Pixels *pixels;
    Prompts prompts;
    Cache cache[N_CACHES];
    PassArrays a;
    Batch batch;
};

/* ---------------------------------------------------------------- planning from lengths */

static int64_t labels_of(const Loader *ld, const IndexRow *r)
{
    const uint32_t visual[] = {[VISUAL_FIRST] = r->labels_first, [VISUAL_ALL] = r->labels_visual, [VISUAL_NONE] = 0};
    return (int64_t)r->labels_text + visual[ld->o.visual_labels];
}

static int32_t targets_of(const IndexRow *r, Task task) { return r->task == task ? r->targets : 0; }

/* Pictures of a row that are loaded for its targets: theirs, and the source that they were made from. */
static bool shows_targets(const Loader *ld, const IndexRow *r)
{
    return r->targets && r->task != TASK_UNDERSTAND && ld->o.target_pixels[r->task];
}
static bool shows_source(const Loader *ld, const IndexRow *r)
{
    return shows_targets(ld, r) && r->task == TASK_EDIT && r->images && ld->o.source_pixels;
}

static int32_t items_of(const Loader *ld, int64_t step)
{
    int64_t left = ld->items - step * ld->o.batch;
    return (int32_t)(left < 0 ? 0 : left < ld->o.batch ? left : ld->o.batch);
}

/* Items of a step, in order, as they come out of the sequence: not yet dealt. */
static Status list_step(Loader *ld, StepPlanning *p, int64_t step)
{
    int32_t n = items_of(ld, step);
    TRY(plan_reserve(p, n, ld->n_ranks));
    TRY(order_items(ld->order, step * ld->o.batch, n, ld->rows));
    for (int32_t i = 0; i < n; i++)
        p->items[i] = (PlanItem){.row = ld->rows[i], .item = i, .length = (int32_t)ld->index->rows[ld->rows[i]].expanded};
    return OK;
}

static int32_t pass_begin(const StepPlanning *p, int32_t pass) { return pass ? p->pass_end[pass - 1] : 0; }

static PassShape shape_of(const Loader *ld, const StepPlanning *p, int32_t pass)
{
    PassShape s = {.target_size = ld->o.target_size};
    for (int32_t i = pass_begin(p, pass); i < p->pass_end[pass]; i++) {
        const IndexRow *r = &ld->index->rows[p->items[i].row];
        s.tokens += p->items[i].length;
        s.segments++;
        s.images += r->images;
        s.labels += (int32_t)labels_of(ld, r);
        s.generate += targets_of(r, TASK_GENERATE);
        s.edit += targets_of(r, TASK_EDIT);
        s.target_pictures += shows_targets(ld, r) ? r->targets : 0;
        s.source_pictures += shows_source(ld, r);
        s.max_segment = p->items[i].length > s.max_segment ? p->items[i].length : s.max_segment;
    }
    return s;
}

/* The whole run from lengths: its tokens, and its worst passes. */
static Status survey(Loader *ld)
{
    int64_t step = 0;
    for (; step < ld->totals.steps && step * ld->o.batch < MOST_SCANNED; step++) {
        TRY(list_step(ld, &ld->plan, step));
        int32_t n = items_of(ld, step);
        for (int32_t i = 0; i < n; i++)
            ld->totals.tokens += ld->plan.items[i].length;
        plan_deal(&ld->plan, n, ld->rank, ld->n_ranks, ld->o.micro_tokens);
        ld->totals.own_samples += ld->plan.n;
        ld->totals.own_passes += ld->plan.n_passes;
        for (int32_t i = 0; i < ld->plan.n; i++)
            ld->totals.own_tokens += ld->plan.items[i].length;
        for (int32_t p = 0; p < ld->plan.n_passes; p++) {
            PassShape s = shape_of(ld, &ld->plan, p);
            worst_add(&ld->worst, &s);
        }
    }
    if (step < ld->totals.steps) { /* a run this long repeats itself: its sums by proportion, its worst pass by the bound */
        const PassShape fullest = {.tokens = (int32_t)ld->o.micro_tokens, .target_size = ld->o.target_size};
        int64_t *const sums[] = {&ld->totals.tokens, &ld->totals.own_samples, &ld->totals.own_tokens, &ld->totals.own_passes};
        for (size_t i = 0; i < sizeof sums / sizeof *sums; i++)
            *sums[i] = (int64_t)((double)*sums[i] * (double)ld->items / ((double)step * (double)ld->o.batch));
        worst_merge(&ld->worst, &fullest);
    }
    return OK;
}

int loader_worst_passes(const Loader *ld, const PassShape **out)
{
    *out = ld->worst.list;
    return ld->worst.n;
}

const LoaderTotals *loader_totals(const Loader *ld) { return &ld->totals; }

Status loader_prompts(const Loader *ld, PromptVisit visit, void *arg)
{
    for (int64_t i = 0; ld->prompts.first && i < ld->index->n; i++)
        for (int k = 0; k < prompts_count(&ld->index->rows[i]); k++)
            TRY(visit(arg, &ld->index->rows[i], prompts_of(&ld->prompts, (uint32_t)i, k)));
    return OK;
}

/* ---------------------------------------------------------------- opening */

static Status check_rows(Loader *ld)
{
    const RecordIndex *x = ld->index;
    bool pictures = false;
    uint32_t longest = 0;
    int64_t sample = 0;
    for (int64_t i = 0; i < x->n; i++) {
        if (!order_most_copies(ld->order, (uint32_t)i))
            continue;
        pictures = pictures || x->rows[i].images;
        if (x->rows[i].expanded > longest) {
            longest = x->rows[i].expanded;
            sample = i;
        }
        ld->totals.drawing += x->rows[i].task != TASK_UNDERSTAND;
    }
    ld->totals.longest = longest;
    ld->totals.samples = x->n;
    if (longest > ld->o.micro_tokens) {
        char place[PATH_MAX] = "";
        if (!ld->o.index)
            snprintf(place, sizeof place, " (sample %" PRId64 " of %s)", sample, ld->o.shards);
        return fail(ERR_USAGE, "train.micro_tokens is %" PRId64 ", but row %u of the mixture%s alone has %u tokens; raise it, or lower "
                                                                "data.max_tokens",
                    ld->o.micro_tokens, x->rows[sample].record, place, longest);
    }
    if (pictures && !ld->o.preprocessor)
        return fail(ERR_USAGE, "the samples show images, but the run has no vision tower (model.vision.path)");
    if (ld->o.preprocessor && pictures && ld->o.preprocessor->patches != x->patches)
        return fail(ERR_DATA, "the shards were made for images of %d tokens, the vision tower makes %d; run prepare again", x->patches,
                    ld->o.preprocessor->patches);
    return OK;
}

static Status open_order(Loader *ld)
{
    const LoaderOptions *o = &ld->o;
    const OrderOptions order = {.source_weight = o->source_weight, .n_sources = o->n_sources, .epoch = o->mixture_epoch,
                                .mixture_seed = o->mixture_seed, .seed = o->seed, .shuffle = o->shuffle};
    TRY(order_create(&ld->order, ld->index, &order));
    if (o->steps > 0)
        ld->items = o->steps * o->batch;
    else
        TRY(order_count(ld->order, o->epochs, &ld->items));
    if (o->most > 0 && ld->items > o->most)
        ld->items = o->most;
    ld->totals.steps = (ld->items + o->batch - 1) / o->batch;
    ld->rows = mem_alloc((size_t)o->batch * sizeof *ld->rows);
    return ld->rows ? OK : fail(ERR_NOMEM, "no memory for a batch of %" PRId64 " samples", o->batch);
}

static Status open_pixels(Loader *ld)
{
    const LoaderOptions *o = &ld->o;
    ImagePrep preps[N_EYES] = {[EYE_DIFFUSION] = image_prep_target(o->target_size, o->max_pixels)};
    if (o->preprocessor)
        preps[EYE_TOWER] = o->preprocessor->prep;
    return pixels_open(&ld->pixels, preps, pixels_workers(o->workers));
}

static bool wants_pixels(const LoaderOptions *o)
{
    return o->preprocessor || (!o->cached[CACHE_LATENTS] && (o->target_pixels[TASK_GENERATE] || o->target_pixels[TASK_EDIT]));
}

static bool wants_prompts(const LoaderOptions *o) { return o->target_prompts[TASK_GENERATE] || o->target_prompts[TASK_EDIT]; }

CacheWants loader_wants(const LoaderOptions *o, CacheKind kind)
{
    CacheWants w = {.sources = kind == CACHE_LATENTS && o->source_pixels};
    memcpy(w.task, kind == CACHE_LATENTS ? o->target_pixels : o->target_prompts, sizeof w.task);
    return w;
}

static Status open_caches(Loader *ld)
{
    const LoaderOptions *o = &ld->o;
    for (CacheKind k = 0; k < N_CACHES; k++) {
        const CacheWants wants = loader_wants(o, k);
        if (o->cached[k] && *o->cache[k].key)
            TRY(cache_open(&ld->cache[k], k, &o->cache[k], &wants, &ld->set, o->shards, &ld->prompts));
    }
    return OK;
}

static Status check_options(const LoaderOptions *o)
{
    if (o->batch < 1 || o->batch > INT32_MAX / 2 || o->micro_tokens < 1 || o->micro_tokens > INT32_MAX / 2)
        return fail(ERR_USAGE, "train.batch %" PRId64 " and train.micro_tokens %" PRId64 " must be between 1 and %d", o->batch,
                    o->micro_tokens, INT32_MAX / 2);
    if (o->steps > INT64_MAX / 2 / o->batch || (o->steps <= 0 && !(o->epochs > 0 && o->epochs <= 1e9)))
        return fail(ERR_USAGE, "train.steps %" PRId64 " or train.epochs %g is out of range", o->steps, o->epochs);
    return OK;
}

Status loader_open(Loader **out, const LoaderOptions *o, int rank, int n_ranks)
{
    TRY(check_options(o));
    Loader *ld = mem_alloc(sizeof *ld);
    *out = ld;
    if (!ld)
        return fail(ERR_NOMEM, "no memory for the loader");
    ld->o = *o;
    ld->rank = rank;
    ld->n_ranks = n_ranks;
    ld->step = -1;
    Status s = o->index ? OK : shards_open(&ld->set, o->shards, o->first_visual_id, o->n_ids);
    ld->index = o->index ? o->index : &ld->set.index;
    if (!s)
        s = open_order(ld);
    if (!s)
        s = check_rows(ld);
    if (!s)
        s = survey(ld);
    if (!s && wants_pixels(o) && !o->index)
        s = open_pixels(ld);
    if (!s && wants_prompts(o) && !o->index)
        s = prompts_read(&ld->prompts, &ld->set);
    if (!s && !o->index)
        s = open_caches(ld);
    if (s)
        loader_close(out);
    return s;
}

void loader_close(Loader **pld)
{
    Loader *ld = *pld;
    *pld = NULL;
    if (!ld)
        return;
    pixels_close(&ld->pixels);
    order_free(&ld->order);
    plan_free(&ld->plan);
    plan_free(&ld->next_plan);
    prompts_free(&ld->prompts);
    for (CacheKind k = 0; k < N_CACHES; k++)
        cache_close(&ld->cache[k]);
    shards_close(&ld->set);
    pass_arrays_free(&ld->a);
    mem_free(ld->rows);
    mem_free(ld->uses);
    mem_free(ld->first_use);
    mem_free(ld);
}

/* ---------------------------------------------------------------- a step */

/* Pictures of a pass, in the order in which it takes them: what the tower sees of all its samples, then the targets, then the sources. */
typedef enum PictureKind { PICTURE_SEEN, PICTURE_TARGET, PICTURE_SOURCE, N_PICTURE_KINDS } PictureKind;

/* Adds a sample's pictures of a kind to uses[k …]; returns the new k. */
static int32_t list_pictures(Loader *ld, uint32_t row, PictureKind kind, int32_t k)
{
    const IndexRow *r = &ld->index->rows[row];
    const ImageRole role = kind == PICTURE_TARGET ? ROLE_TARGET : ROLE_INPUT;
    int64_t sample;
    const Shard *s = shards_find(&ld->set, row, &sample);
    int most = kind == PICTURE_SEEN ? r->images : kind == PICTURE_TARGET ? shows_targets(ld, r) ? r->targets : 0 : shows_source(ld, r);
    for (uint64_t at = s->img_off[sample]; most && at < s->img_off[sample + 1]; at++)
        if (s->ref_role[at] == role) {
            ld->uses[k++] = (PixelUse){.shard = ld->set.shards[s->ref_shard[at]], .image = s->ref_image[at],
                                       .eye = kind == PICTURE_SEEN ? EYE_TOWER : EYE_DIFFUSION};
            most--;
        }
    return k;
}

/* Pictures of a dealt step, in the order of its passes. */
static Status want_pictures(Loader *ld, const StepPlanning *p, int64_t step, bool ahead)
{
    int64_t n = 0;
    for (int32_t i = 0; i < p->n; i++) {
        const IndexRow *r = &ld->index->rows[p->items[i].row];
        n += r->images + (shows_targets(ld, r) ? r->targets : 0) + shows_source(ld, r);
    }
    if (n > ld->uses_capacity) {
        PixelUse *more = mem_grow(ld->uses, (size_t)n * sizeof *more);
        if (!more)
            return fail(ERR_NOMEM, "no memory for the %" PRId64 " pictures of a step", n);
        ld->uses = more;
        ld->uses_capacity = n;
    }
    int32_t k = 0;
    for (int32_t pass = 0; pass < p->n_passes; pass++) {
        if (!ahead)
            ld->first_use[pass] = k;
        for (PictureKind kind = 0; kind < (ld->o.cached[CACHE_LATENTS] ? PICTURE_TARGET : N_PICTURE_KINDS); kind++)
            for (int32_t i = pass_begin(p, pass); i < p->pass_end[pass]; i++)
                k = list_pictures(ld, p->items[i].row, kind, k);
    }
    return ld->pixels ? pixels_want(ld->pixels, step, ld->uses, k, ahead) : OK;
}

static void add_terms(LossTerms *t, const Loader *ld, const IndexRow *r)
{
    int64_t labels = labels_of(ld, r);
    t->labels.n += labels;
    t->labels.weight += (double)r->weight * (double)labels;
    t->generate.n += targets_of(r, TASK_GENERATE);
    t->generate.weight += (double)r->weight * targets_of(r, TASK_GENERATE);
    t->edit.n += targets_of(r, TASK_EDIT);
    t->edit.weight += (double)r->weight * targets_of(r, TASK_EDIT);
}

/* Sums over the step in the order of its items: the same bits for any number of ranks. */
static void sum_step(const Loader *ld, const StepPlanning *p, StepPlan *out)
{
    for (int32_t i = 0; i < out->items; i++) {
        const IndexRow *r = &ld->index->rows[p->items[i].row];
        add_terms(&out->of_step, ld, r);
        out->tokens += r->expanded;
        out->images += r->images;
    }
}

Status loader_step(Loader *ld, int64_t step, StepPlan *plan)
{
    *plan = (StepPlan){.step = step, .items = items_of(ld, step)};
    if (step < 0 || step >= ld->totals.steps || !ld->set.shards)
        return fail(ERR_INTERNAL, "step %" PRId64 " of a run of %" PRId64, step, ld->totals.steps);
    ld->step = step;
    TRY(list_step(ld, &ld->plan, step));
    sum_step(ld, &ld->plan, plan);
    plan_deal(&ld->plan, plan->items, ld->rank, ld->n_ranks, ld->o.micro_tokens);
    plan->n_passes = ld->plan.n_passes;
    for (int32_t i = 0; i < ld->plan.n; i++)
        add_terms(&plan->of_rank, ld, &ld->index->rows[ld->plan.items[i].row]);
    mem_free(ld->first_use);
    ld->first_use = mem_alloc((size_t)plan->n_passes * sizeof *ld->first_use);
    if (!ld->first_use)
        return fail(ERR_NOMEM, "no memory for a step of %d passes", plan->n_passes);
    TRY(want_pictures(ld, &ld->plan, step, false));
    if (!ld->pixels || step + 1 >= ld->totals.steps)
        return OK;
    TRY(list_step(ld, &ld->next_plan, step + 1));
    plan_deal(&ld->next_plan, items_of(ld, step + 1), ld->rank, ld->n_ranks, ld->o.micro_tokens);
    return want_pictures(ld, &ld->next_plan, step + 1, true);
}

/* ---------------------------------------------------------------- a pass */

/* Which of its sample's targets target i is. */
static int place_in_segment(const PassArrays *a, int32_t i)
{
    int k = 0;
    while (k < i && a->target_segment[i - k - 1] == a->target_segment[i])
        k++;
    return k;
}

/* A run of visual tokens begins at `row`. */
static void append_target(Loader *ld, uint32_t sample, int32_t row, float weight)
{
    Batch *b = &ld->batch;
    PassArrays *a = &ld->a;
    const IndexRow *r = &ld->index->rows[sample];
    const int32_t i = b->n_targets++, segment = b->n_segments - 1;
    const bool follows = i && a->target_segment[i - 1] == segment;
    Terms *terms = r->task == TASK_GENERATE ? &b->terms.generate : &b->terms.edit;
    terms->n++;
    terms->weight += (double)weight;
    a->target_row[i] = row;
    a->target_segment[i] = segment;
    a->target_weight[i] = weight;
    a->target_picture[i] = shows_targets(ld, r) ? b->n_target_pictures++ : -1;
    a->source_picture[i] = !shows_source(ld, r) ? -1 : follows ? a->source_picture[i - 1] : b->n_source_pictures++;
    if (wants_prompts(&ld->o))
        a->target_prompt[i] = prompts_of(&ld->prompts, sample, place_in_segment(a, i));
}

/* Appends one sample: its rows with images expanded, its labels and targets. The row before a token predicts it, so position 0 is no label.
 */
static void append_sample(Loader *ld, const PlanItem *it)
{
    Batch *b = &ld->batch;
    PassArrays *a = &ld->a;
    int64_t i;
    const Shard *s = shards_find(&ld->set, it->row, &i);
    int32_t start = b->n_tokens, row = start, segment = b->n_segments++;
    const int64_t first_visual = s->n_ids - s->attr.n_visual_tokens;
    for (uint64_t t = s->tok_off[i]; t < s->tok_off[i + 1]; t++) {
        if (row > start && index_is_label(s->id[t], s->mask[t], ld->o.first_visual_id, ld->o.visual_labels)) {
            a->label_row[b->n_labels] = row - 1;
            a->label_position[b->n_labels] = row - 1 - start;
            a->label[b->n_labels] = s->id[t];
            a->label_weight[b->n_labels] = s->weight[i];
            b->terms.labels.n++;
            b->terms.labels.weight += (double)s->weight[i];
            a->label_record[b->n_labels++] = (int32_t)s->record[i];
        }
        if (s->mask[t] >> MASK_KIND_SHIFT == KIND_VISUAL && s->id[t] == first_visual && s->task[i] != TASK_UNDERSTAND)
            append_target(ld, it->row, row, s->weight[i]);
        int32_t copies = s->id[t] == ID_IMAGE ? (int32_t)s->attr.patches : 1;
        for (int32_t c = 0; c < copies; c++, row++) {
            a->id[row] = s->id[t];
            a->pos[row] = row - start;
            a->item[row] = it->item;
        }
    }
    a->cu[segment] = start;
    a->cu[segment + 1] = row;
    a->record[segment] = (int32_t)s->record[i];
    a->task[segment] = s->task[i];
    memcpy(a->uid[segment], s->uid[i], sizeof a->uid[segment]);
    a->weight[segment] = s->weight[i];
    b->n_tokens = row;
    b->max_segment = row - start > b->max_segment ? row - start : b->max_segment;
}

/* n pictures into *to, which has room for *room of them; use number *use of the step is the first. */
static Status take_pictures(Loader *ld, uint8_t **to, int64_t *room, int32_t n, const ImagePrep *prep, int32_t *use)
{
    const size_t bytes = (size_t)prep->width * (size_t)prep->height * 3;
    if (n > *room) {
        *room = 0;
        if (!pass_array_grow(to, n, bytes))
            return fail(ERR_NOMEM, "no memory for the %d pictures of a pass", n);
        *room = n;
    }
    for (int32_t k = 0; k < n; k++)
        TRY(pixels_take(ld->pixels, (*use)++, *to + (size_t)k * bytes));
    return OK;
}

/* Cached moments of the pictures of a kind. */
static Status take_moments(Loader *ld, int32_t p, PictureKind kind, float **to, int64_t *room)
{
    const size_t elems = (size_t)ld->o.cache[CACHE_LATENTS].n_elems;
    int32_t n = 0;
    for (int32_t i = pass_begin(&ld->plan, p); i < ld->plan.pass_end[p]; i++)
        n = list_pictures(ld, ld->plan.items[i].row, kind, n);
    if (n > *room) {
        *room = 0;
        if (!pass_array_grow(to, n, elems * sizeof **to))
            return fail(ERR_NOMEM, "no memory for the latents of the %d pictures of a pass", n);
        *room = n;
    }
    for (int32_t k = 0; k < n; k++)
        TRY(cache_of_picture(&ld->cache[CACHE_LATENTS], (uint32_t)ld->uses[k].shard->attr.shard_index, ld->uses[k].image,
                             *to + (size_t)k * elems));
    return OK;
}

/* Cached states of the prompts of a pass. */
static Status take_states(Loader *ld, int32_t p)
{
    PassArrays *a = &ld->a;
    const Batch *b = &ld->batch;
    const size_t elems = (size_t)ld->o.cache[CACHE_CLIP_TEXT].n_elems;
    int32_t n = 0;
    for (int32_t i = 0; i < b->n_targets; i++)
        a->target_state[i] = ld->o.target_prompts[a->task[a->target_segment[i]]] ? n++ : -1;
    if (n > a->n_states) {
        a->n_states = 0;
        if (!pass_array_grow(&a->states, n, elems * sizeof *a->states))
            return fail(ERR_NOMEM, "no memory for the states of the %d prompts of a pass", n);
        a->n_states = n;
    }
    for (int32_t i = 0; i < b->n_targets; i++)
        if (a->target_state[i] >= 0)
            TRY(cache_of_prompt(&ld->cache[CACHE_CLIP_TEXT], &ld->prompts,
                                ld->plan.items[pass_begin(&ld->plan, p) + a->target_segment[i]].row, place_in_segment(a, i),
                                a->states + (size_t)a->target_state[i] * elems));
    return OK;
}

static Status take_all_pictures(Loader *ld, int32_t p)
{
    PassArrays *a = &ld->a;
    Batch *b = &ld->batch;
    const ImagePrep square = {.width = ld->o.target_size, .height = ld->o.target_size};
    int32_t use = ld->first_use[p];
    if (b->n_images) {
        b->image_width = ld->o.preprocessor->prep.width;
        b->image_height = ld->o.preprocessor->prep.height;
        TRY(take_pictures(ld, &a->pixels, &a->images, b->n_images, &ld->o.preprocessor->prep, &use));
    }
    if (ld->o.cached[CACHE_LATENTS]) {
        TRY(take_moments(ld, p, PICTURE_TARGET, &a->target_moments, &a->target_pictures));
        return take_moments(ld, p, PICTURE_SOURCE, &a->source_moments, &a->source_pictures);
    }
    TRY(take_pictures(ld, &a->target_pixels, &a->target_pictures, b->n_target_pictures, &square, &use));
    return take_pictures(ld, &a->source_pixels, &a->source_pictures, b->n_source_pictures, &square, &use);
}

Status loader_pass(Loader *ld, int32_t p, const Batch **batch)
{
    if (ld->step < 0 || p < 0 || p >= ld->plan.n_passes)
        return fail(ERR_INTERNAL, "pass %d of a step with %d", p, ld->plan.n_passes);
    PassShape shape = shape_of(ld, &ld->plan, p);
    TRY(pass_arrays_room(&ld->a, &shape));
    PassArrays *a = &ld->a;
    ld->batch = (Batch){.n_images = shape.images, .target_size = ld->o.target_size};
    for (int32_t i = pass_begin(&ld->plan, p); i < ld->plan.pass_end[p]; i++)
        append_sample(ld, &ld->plan.items[i]);
    Batch *b = &ld->batch;
    TRY(take_all_pictures(ld, p));
    if (ld->o.cached[CACHE_CLIP_TEXT])
        TRY(take_states(ld, p));
    b->cu = a->cu;
    b->id = a->id;
    b->pos = a->pos;
    b->item = a->item;
    b->pixels = a->pixels;
    b->label_row = a->label_row;
    b->label = a->label;
    b->label_weight = a->label_weight;
    b->label_record = a->label_record;
    b->label_position = a->label_position;
    b->record = a->record;
    b->task = a->task;
    b->weight = a->weight;
    b->uid = (const uint8_t(*)[16])a->uid;
    b->target_row = a->target_row;
    b->target_segment = a->target_segment;
    b->target_weight = a->target_weight;
    b->target_prompt = wants_prompts(&ld->o) ? a->target_prompt : NULL;
    b->target_picture = a->target_picture;
    b->source_picture = a->source_picture;
    b->target_pixels = a->target_pixels;
    b->source_pixels = a->source_pixels;
    b->target_moments = a->target_moments;
    b->source_moments = a->source_moments;
    b->target_state = a->target_state;
    b->states = a->states;
    *batch = b;
    return OK;
}
