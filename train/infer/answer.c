/* answer.c: opens a model to answer, and answers a question: prompt, prefill, decoding (answer.h). Called by generate, evaluate and the
 * loop's samples. */
#include "train/infer/answerer.h"

#include <stdio.h>
#include <string.h>

#include "data/formats/file.h"
#include "data/pictures/picture_file.h"
#include "train/dist/device.h"
#include "train/infer/draw.h"
#include "train/dist/room.h"
#include "train/config/plan.h"

/* warn: of settings in the folder that are not followed. */
static Status create(Answerer **out, char tokenizer[PATH_MAX], const RunConfig *cfg, bool warn)
{
    Answerer *a = *out = mem_alloc(sizeof *a);
    if (!a)
        return fail(ERR_NOMEM, "no memory for the answerer");
    file_join(tokenizer, cfg->model.llm.path, "tokenizer.model");
    TRY_IN(tokenizer_open(&a->tokenizer, tokenizer), "model.llm.path");
    a->processes = 1;
    a->rules.ends = (EndTokens){.id = {tokenizer_info(a->tokenizer)->eos}, .n = 1};
    a->rules.tokenizer = a->tokenizer;
    TRY(generation_read(&a->rules.ends, cfg->model.llm.path, warn));
    a->sees = cfg->model.vision.path != NULL;
    return OK;
}

static Status use(Answerer *a, const RunConfig *cfg, GenLlava *model)
{
    const ModelSizes *sizes = genllava_model_sizes(model);
    a->cfg = cfg;
    a->model = model;
    a->rules.encoder = plan_encoder(cfg, sizes);
    a->rules.n_visual = cfg->model.diffusion.path ? a->rules.encoder.n_visual : 0;
    a->rules.n_choices =
        sizes->vocab_size + sizes->added_rows - (a->rules.n_visual ? a->rules.n_visual - 1 : 0); /* [IMG1] … are the last rows */
    a->rules.scratch = mem_alloc((size_t)a->rules.n_choices * sizeof *a->rules.scratch);
    return a->rules.scratch ? OK : fail(ERR_NOMEM, "no memory for %d logits", a->rules.n_choices);
}

/* ---------------------------------------------------------------- memory */

/* need.needed: bytes of the backend's memory; host: of the host's besides. */
static Status check_room(const Answerer *a, const RunConfig *cfg, RoomNeed need, int64_t host)
{
    char sizes[2][32];
    DeviceMemory device;
    need.processes = a->processes;
    need.ignore = cfg->train.memory == MEMORY_IGNORE;
    if (!a->backend->memory) {
        need.needed += host;
        return room_check(&need);
    }
    TRY(a->backend->memory(a->backend, &device));
    file_size_text(sizes[0], sizeof sizes[0], (size_t)need.needed);
    file_size_text(sizes[1], sizeof sizes[1], device.available);
    if (need.needed > (int64_t)device.available && !need.ignore)
        return fail(ERR_NOMEM, "%s needs %s of the device's memory (%s), %s are free: %s; nvidia-smi lists what else uses the device",
                    need.who, sizes[0], need.plan, sizes[1], need.change);
    need.needed = host;
    need.mapped = 0;
    return room_check(&need);
}

/* Whether the weights, and what drawing works in, fit, before any is read. */
static Status check_weights(const Answerer *a, const RunConfig *cfg, DType compute, const char *checkpoint_dir)
{
    char plan[128], size[2][32];
    size_t drawing = 0, drawing_host = 0;
    Backend null;
    GenLlava *model;
    Footprint before, after;
    TRY(null_open(&null));
    null.host_memory = a->backend->host_memory;
    null.joins = a->backend->joins;
    null.tile_bytes = a->backend->tile_bytes;
    room_footprint(&before);
    Status s = genllava_open_to_answer(&model, &null, compute, cfg, checkpoint_dir);
    room_footprint(&after);
    ParamBytes bytes = s ? (ParamBytes){0} : params_bytes(genllava_params(model));
    if (!s && cfg->draws)
        s = drawer_measure(&drawing, &drawing_host, model, cfg, &null);
    genllava_close(&model);
    null.close(&null);
    TRY(s);
    bool host = !a->backend->memory;
    const int64_t passing = bytes.passing > (int64_t)drawing ? bytes.passing : (int64_t)drawing; /* drawing comes when all are there */
    int64_t needed = bytes.frozen + bytes.masters - bytes.mapped + passing;
    RoomNeed need = {.who = "the model",
                     .plan = plan,
                     .needed = needed,
                     .mapped = bytes.pages,
                     .files = after.addresses - before.addresses,
                     .stacks = before.thread_addresses};
    need.change = host ? "use a larger machine" : "use a larger device, or set device to \"cpu\"";
    int n = snprintf(plan, sizeof plan, "weights %s", file_size_text(size[0], sizeof size[0], (size_t)(bytes.frozen + bytes.masters)));
    if (cfg->draws)
        snprintf(plan + n, sizeof plan - (size_t)n, ", workspace of drawing %s",
                 file_size_text(size[1], sizeof size[1], drawing + drawing_host));
    return check_room(a, cfg, need, before.thread_pages + (int64_t)drawing_host);
}

Status answerer_room(const Answerer *a, int sequences, int64_t positions, const int32_t *ids, int64_t n, int32_t n_images, bool to_context)
{
    char plan[160], times[32] = "";
    size_t n_bytes;
    TRY(decoder_measure(&n_bytes, a->model, sequences, positions, ids, n, n_images, to_context));
    if (sequences > 1)
        snprintf(times, sizeof times, "%d times ", sequences);
    snprintf(plan, sizeof plan, "cache of %s%lld positions and the workspace of a prompt of %lld", times, (long long)positions,
             (long long)a->prompt.expanded);
    RoomNeed need = {
        .who = "the answer", .plan = plan, .needed = (int64_t)n_bytes, .change = "ask a shorter question, or lower --max-new-tokens"};
    return check_room(a, a->cfg, need, 0);
}

/* ---------------------------------------------------------------- opening and asking */

Status answerer_open(Answerer **out, const RunConfig *cfg, const char *checkpoint_dir)
{
    return answerer_open_rank(out, cfg, checkpoint_dir, 0, 1);
}

Status answerer_open_rank(Answerer **out, const RunConfig *cfg, const char *checkpoint_dir, int local_rank, int processes)
{
    char tokenizer[PATH_MAX];
    DType compute;
    TRY(create(out, tokenizer, cfg, true));
    Answerer *a = *out;
    a->processes = processes;
    TRY(device_open(&a->own, cfg, local_rank, &compute));
    a->device_open = true;
    a->backend = &a->own;
    TRY(check_weights(a, cfg, compute, checkpoint_dir));
    TRY(genllava_open_to_answer(&a->own_model, &a->own, compute, cfg, checkpoint_dir));
    TRY(use(a, cfg, a->own_model));
    mem_trim(); /* what reading weights took does not come again */
    TRY(encoder_check(&a->rules.encoder, a->tokenizer, tokenizer));
    if (a->sees)
        TRY(preprocessor_load(&a->preprocessor, cfg->model.vision.path, cfg->model.vision.aspect == ASPECT_PAD));
    a->preprocessor.prep.max_pixels = cfg->data.max_pixels;
    return OK;
}

Status answerer_borrow(Answerer **out, const RunConfig *cfg, GenLlava *model, Backend *backend, const Preprocessor *preprocessor)
{
    char tokenizer[PATH_MAX];
    TRY(create(out, tokenizer, cfg, false));
    Answerer *a = *out;
    a->backend = backend;
    if (a->sees)
        a->preprocessor = *preprocessor;
    return use(a, cfg, model);
}

void answerer_close(Answerer **out)
{
    Answerer *a = *out;
    if (!a)
        return;
    decoder_free(&a->decoder);
    genllava_close(&a->own_model);
    if (a->device_open)
        a->own.close(&a->own);
    tokenizer_close(&a->tokenizer);
    encoded_free(&a->prompt);
    mem_free(a->rules.scratch);
    mem_free(a->context);
    mem_free(a);
    *out = NULL;
}

GenLlava *answerer_model(Answerer *a) { return a->model; }
Backend *answerer_backend(Answerer *a) { return a->backend; }
const ImagePrep *answerer_prep(const Answerer *a) { return &a->preprocessor.prep; }

size_t answerer_picture_bytes(const Answerer *a) { return (size_t)a->preprocessor.prep.width * (size_t)a->preprocessor.prep.height * 3; }

Status answer_picture_bytes(const ImagePrep *prep, const uint8_t *bytes, size_t n, const char *name, uint8_t *pixels)
{
    Image image = {0};
    Reject reject;
    Status s = fail_context(image_decode(&image, bytes, n, prep->max_pixels, &reject), "picture %s", name);
    if (!s)
        s = fail_context(image_prepare(pixels, &image, prep), "picture %s", name);
    image_free(&image);
    return s;
}

Status answer_picture(const ImagePrep *prep, const char *root, const char *path, uint8_t *pixels)
{
    PictureBuffer file = {0};
    TRY(picture_load(&file, root, path));
    Status s = answer_picture_bytes(prep, file.bytes, file.n, file_name(path), pixels);
    picture_buffer_free(&file);
    return s;
}

static Status load_pictures(const Answerer *a, const Question *q, uint8_t **pixels)
{
    *pixels = NULL;
    if (q->n_images == 0 || q->pixels)
        return OK;
    const size_t one = answerer_picture_bytes(a);
    *pixels = mem_alloc(one * (size_t)q->n_images);
    if (!*pixels)
        return fail(ERR_NOMEM, "no memory for %d pictures", q->n_images);
    Status s = OK;
    for (int i = 0; i < q->n_images && !s; i++)
        s = answer_picture(&a->preprocessor.prep, q->image_root, q->images[i], *pixels + one * (size_t)i);
    return s;
}

int64_t answerer_positions_left(const Answerer *a)
{
    const int64_t positions = genllava_model_sizes(a->model)->positions;
    return positions ? positions - a->prompt.expanded : INT64_MAX;
}

static Status check_sees(const Answerer *a, const char *picture)
{
    return a->sees ? OK : fail(ERR_USAGE, "this model has no vision tower (model.vision.path is null), so it cannot look at %s", picture);
}

Status answerer_encode(Answerer *a, const Question *q, Task task)
{
    if (q->n_images)
        TRY(check_sees(a, q->images ? q->images[0] : "pictures"));
    TRY(encode_prompt(&a->prompt, &a->rules.encoder, a->tokenizer, q->system, q->turns, q->n_turns, q->n_images, task));
    if (answerer_positions_left(a) < 1)
        return fail(ERR_DATA,
                    "the question takes %lld tokens with its pictures and what was said before, and the language model has %lld "
                    "positions (max_position_embeddings in %s/config.json), the answer's among them: ask a shorter one",
                    (long long)a->prompt.expanded, (long long)genllava_model_sizes(a->model)->positions, a->cfg->model.llm.path);
    return OK;
}

/* A decoder of at least so many positions, for the prompt of n ids. */
static Status reserve(Answerer *a, int64_t positions, const int32_t *ids, int64_t n, int32_t n_images, bool to_context)
{
    if (positions <= a->capacity)
        return OK;
    decoder_free(&a->decoder);
    a->capacity = 0;
    if (a->own_model) /* else the run has planned for it */
        TRY(answerer_room(a, 1, positions, ids, n, n_images, to_context));
    TRY(decoder_create(&a->decoder, a->model, 1, positions));
    a->capacity = positions;
    return OK;
}

Status answerer_look(Answerer *a, Decoder *d, const Question *q)
{
    uint8_t *loaded = NULL;
    Status s = load_pictures(a, q, &loaded);
    if (!s && q->n_images)
        s = decoder_look(d, q->pixels ? q->pixels : loaded, q->n_images);
    mem_free(loaded);
    return s;
}

/* ---------------------------------------------------------------- asking */

/* a->context: of the picture whose tokens end prompt and answer. */
static Status make_context(Answerer *a, const Question *q, const Reply *r)
{
    const ModelSizes *sizes = genllava_model_sizes(a->model);
    if (!a->context)
        a->context = mem_alloc((size_t)sizes->queries * (size_t)sizes->context * sizeof *a->context);
    if (!a->context)
        return fail(ERR_NOMEM, "no memory for the context of a picture");
    return decoder_context(a->decoder, r->ids, r->n_prompt + r->n, q->n_images, a->context);
}

static Status follow(Answerer *a, const Question *q, Reply *r)
{
    for (;;) {
        ReplyState state;
        int32_t id;
        TRY(reply_next(r, decoder_logits(a->decoder, 0), &state, &id));
        if (state == REPLY_DONE)
            return OK;
        if (state == REPLY_GOES_ON) {
            TRY(decoder_step(a->decoder, &id));
        } else if (r->sink && r->sink->picture) {
            TRY(make_context(a, q, r));
            TRY(r->sink->picture(r->sink->user, a->context));
        }
    }
}

Status answerer_ask(Answerer *a, const Question *q, const Sampling *s, const AnswerSink *sink, char **answer, size_t *n)
{
    Reply r = {.rules = NULL};
    *answer = NULL;
    TRY(answerer_encode(a, q, TASK_UNDERSTAND));
    TRY(reserve(a, a->prompt.expanded + s->max_new_tokens + a->rules.n_visual, a->prompt.id, a->prompt.n, q->n_images, false));
    TRY(answerer_look(a, a->decoder, q));
    TRY(decoder_prompt(a->decoder, 0, a->prompt.id, a->prompt.n, q->n_images));
    Status status = reply_begin(&r, &a->rules, s, a->prompt.id, a->prompt.n, answerer_positions_left(a), q->index);
    r.sink = sink;
    if (!status)
        status = follow(a, q, &r);
    if (!status)
        status = reply_text(&r, answer, n);
    reply_free(&r);
    return status;
}

Status answerer_context(Answerer *a, const Question *q, Task task, float *context)
{
    const int32_t visual = a->rules.n_visual;
    if (!visual)
        return fail(ERR_USAGE, "this model does not draw: %s",
                    a->cfg->model.diffusion.path ? "model.tokens.image is 0" : "model.diffusion.path is null");
    TRY(answerer_encode(a, q, task));
    const int64_t n = a->prompt.n + visual;
    int32_t *ids = mem_alloc((size_t)n * sizeof *ids);
    if (!ids)
        return fail(ERR_NOMEM, "no memory for a question of %lld tokens", (long long)n);
    memcpy(ids, a->prompt.id, (size_t)a->prompt.n * sizeof *ids);
    for (int32_t i = 0; i < visual; i++)
        ids[a->prompt.n + i] = encoder_visual_id(&a->rules.encoder, i);
    Status s = reserve(a, a->prompt.expanded + visual, ids, n, q->n_images, true);
    if (!s)
        s = answerer_look(a, a->decoder, q);
    if (!s)
        s = decoder_context(a->decoder, ids, n, q->n_images, context);
    mem_free(ids);
    return s;
}
