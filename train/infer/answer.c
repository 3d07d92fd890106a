/* answer.c: answers questions with a model: prompt, prefill, decoding, text (answer.h). Called by generate and the loop's samples. */
#include "train/infer/answer.h"

#include <stdio.h>
#include <string.h>

#include "data/text/encode.h"
#include "data/formats/file.h"
#include "data/pictures/picture_file.h"
#include "kernels/base/log.h"
#include "kernels/base/philox.h"
#include "kernels/base/utf8.h"
#include "train/dist/device.h"
#include "train/infer/draw.h"
#include "train/models/generation.h"
#include "train/dist/room.h"
#include "train/config/plan.h"

struct Answerer {
    Backend own; /* where nothing is borrowed */
    bool device_open;
    GenLlava *own_model;
    Backend *backend;
    const RunConfig *cfg;
    GenLlava *model;
    Decoder *decoder;
    int64_t capacity; /* positions of the decoder */
    Tokenizer *tokenizer;
    EncoderOptions encoder;
    Preprocessor preprocessor;
    EndTokens ends;
    bool sees;
    EncodedSample prompt;
    int32_t n_choices, *scratch; /* logits that a token is chosen by, [n_choices] */
    int32_t n_visual;            /* tokens of a picture; 0: a model that does not draw */
    int32_t *ids;                /* of the prompt, then of the answer, [n_ids] */
    int64_t n_ids;
    float *context; /* [queries,C], of the last picture; NULL: none so far */
    char *text;     /* the answer decoded so far */
    size_t text_bytes;
    int64_t text_capacity;
    int64_t n_final; /* ids of the answer up to the last picture … */
    size_t final;    /* … and bytes of their text */
};

/* warn: of settings in the folder that are not followed. */
static Status create(Answerer **out, char tokenizer[PATH_MAX], const RunConfig *cfg, bool warn)
{
    Answerer *a = *out = mem_alloc(sizeof *a);
    if (!a)
        return fail(ERR_NOMEM, "no memory for the answerer");
    file_join(tokenizer, cfg->model.llm.path, "tokenizer.model");
    TRY_IN(tokenizer_open(&a->tokenizer, tokenizer), "model.llm.path");
    a->ends = (EndTokens){.id = {tokenizer_info(a->tokenizer)->eos}, .n = 1};
    TRY(generation_read(&a->ends, cfg->model.llm.path, warn));
    a->sees = cfg->model.vision.path != NULL;
    return OK;
}

static Status use(Answerer *a, const RunConfig *cfg, GenLlava *model)
{
    const ModelSizes *sizes = genllava_model_sizes(model);
    a->cfg = cfg;
    a->model = model;
    a->encoder = plan_encoder(cfg, sizes);
    a->n_visual = cfg->model.diffusion.path ? a->encoder.n_visual : 0;
    a->n_choices = sizes->vocab_size + sizes->added_rows - (a->n_visual ? a->n_visual - 1 : 0); /* [IMG1] … are the last rows */
    a->scratch = mem_alloc((size_t)a->n_choices * sizeof *a->scratch);
    return a->scratch ? OK : fail(ERR_NOMEM, "no memory for %d logits", a->n_choices);
}

/* ---------------------------------------------------------------- memory */

/* need.needed: bytes of the backend's memory; host: of the host's besides. */
static Status check_room(const Answerer *a, const RunConfig *cfg, RoomNeed need, int64_t host)
{
    char sizes[2][32];
    DeviceMemory device;
    need.processes = 1;
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
    null.joins = a->backend->joins;
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
    int64_t needed = bytes.frozen + bytes.masters - (host ? bytes.mapped : 0) + (int64_t)drawing;
    RoomNeed need = {.who = "the model", .plan = plan, .needed = needed, .mapped = bytes.pages, .files = after.addresses - before.addresses,
                     .stacks = before.thread_addresses};
    need.change = host ? "use a larger machine" : "use a larger device, or set device to \"cpu\"";
    int n = snprintf(plan, sizeof plan, "weights %s", file_size_text(size[0], sizeof size[0], (size_t)(bytes.frozen + bytes.masters)));
    if (cfg->draws)
        snprintf(plan + n, sizeof plan - (size_t)n, ", workspace of drawing %s",
                 file_size_text(size[1], sizeof size[1], drawing + drawing_host));
    return check_room(a, cfg, need, before.thread_pages + (int64_t)drawing_host);
}

/* Whether the cache of so many positions and the workspace of the prompt, of n ids, fit. */
static Status check_prompt(const Answerer *a, int64_t positions, int64_t n, int32_t n_images, bool to_context)
{
    char plan[128];
    size_t n_bytes;
    TRY(decoder_measure(&n_bytes, a->model, positions, a->ids, n, n_images, to_context));
    snprintf(plan, sizeof plan, "cache of %lld positions and the workspace of a prompt of %lld", (long long)positions,
             (long long)a->prompt.expanded);
    RoomNeed need = {
        .who = "the answer", .plan = plan, .needed = (int64_t)n_bytes, .change = "ask a shorter question, or lower --max-new-tokens"};
    return check_room(a, a->cfg, need, 0);
}

/* ---------------------------------------------------------------- opening and asking */

Status answerer_open(Answerer **out, const RunConfig *cfg, const char *checkpoint_dir)
{
    char tokenizer[PATH_MAX];
    DType compute;
    TRY(create(out, tokenizer, cfg, true));
    Answerer *a = *out;
    TRY(device_open(&a->own, cfg, 0, &compute));
    a->device_open = true;
    a->backend = &a->own;
    TRY(check_weights(a, cfg, compute, checkpoint_dir));
    TRY(genllava_open_to_answer(&a->own_model, &a->own, compute, cfg, checkpoint_dir));
    TRY(use(a, cfg, a->own_model));
    mem_trim(); /* what reading weights took does not come again */
    TRY(encoder_check(&a->encoder, a->tokenizer, tokenizer));
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
    mem_free(a->scratch);
    mem_free(a->ids);
    mem_free(a->context);
    mem_free(a->text);
    mem_free(a);
    *out = NULL;
}

GenLlava *answerer_model(Answerer *a) { return a->model; }
Backend *answerer_backend(Answerer *a) { return a->backend; }

Status answer_picture(const ImagePrep *prep, const char *root, const char *path, uint8_t *pixels)
{
    PictureBuffer file = {0};
    Image image = {0};
    Reject reject;
    TRY(picture_load(&file, root, path));
    Status s = fail_context(image_decode(&image, file.bytes, file.n, prep->max_pixels, &reject), "picture %s", file_name(path));
    if (!s)
        s = fail_context(image_prepare(pixels, &image, prep), "picture %s", file_name(path));
    image_free(&image);
    picture_buffer_free(&file);
    return s;
}

static Status load_pictures(const Answerer *a, const Question *q, uint8_t **pixels)
{
    *pixels = NULL;
    if (q->n_images == 0 || q->pixels)
        return OK;
    if (!a->sees)
        return fail(ERR_USAGE, "this model has no vision tower (model.vision.path is null), so it cannot look at %s", q->images[0]);
    size_t one = (size_t)a->preprocessor.prep.width * (size_t)a->preprocessor.prep.height * 3;
    *pixels = mem_alloc(one * (size_t)q->n_images);
    if (!*pixels)
        return fail(ERR_NOMEM, "no memory for %d pictures", q->n_images);
    for (int i = 0; i < q->n_images; i++)
        TRY(answer_picture(&a->preprocessor.prep, q->image_root, q->images[i], *pixels + one * (size_t)i));
    return OK;
}

/* A question's prompt, encoded and with its pictures. */
typedef struct Prompt {
    const uint8_t *pixels;
    uint8_t *loaded; /* mem_free */
    int32_t n_images;
} Prompt;

/* Positions that an answer to the prompt may take. */
static int64_t positions_left(const Answerer *a)
{
    const int64_t positions = genllava_model_sizes(a->model)->positions;
    return positions ? positions - a->prompt.expanded : INT64_MAX;
}

/* Encodes the question and makes room for `more` ids behind it. */
static Status open_prompt(Answerer *a, Prompt *p, const Question *q, Task task, int64_t more)
{
    *p = (Prompt){.n_images = q->n_images};
    TRY(encode_prompt(&a->prompt, &a->encoder, a->tokenizer, q->system, q->turns, q->n_turns, q->n_images, task));
    int64_t n_ids = a->prompt.n + more;
    if (n_ids > a->n_ids) {
        int32_t *ids = mem_grow(a->ids, (size_t)n_ids * sizeof *ids);
        if (!ids)
            return fail(ERR_NOMEM, "no memory for a question and its answer of %lld tokens", (long long)n_ids);
        a->ids = ids;
        a->n_ids = n_ids;
    }
    memcpy(a->ids, a->prompt.id, (size_t)a->prompt.n * sizeof *a->ids);
    if (positions_left(a) < 1)
        return fail(ERR_DATA, "the question takes %lld tokens with its pictures and what was said before, and the language model has %lld "
                              "positions (max_position_embeddings in %s/config.json), the answer's among them: ask a shorter one",
                    (long long)a->prompt.expanded, (long long)genllava_model_sizes(a->model)->positions, a->cfg->model.llm.path);
    TRY(load_pictures(a, q, &p->loaded));
    p->pixels = q->pixels ? q->pixels : p->loaded;
    return OK;
}

static void close_prompt(Prompt *p) { mem_free(p->loaded); }

/* A decoder of at least so many positions, for the prompt of n ids. */
static Status reserve(Answerer *a, int64_t positions, int64_t n, const Prompt *p, bool to_context)
{
    if (positions <= a->capacity)
        return OK;
    decoder_free(&a->decoder);
    a->capacity = 0;
    if (a->own_model) /* else the run has planned for it */
        TRY(check_prompt(a, positions, n, p->n_images, to_context));
    TRY(decoder_create(&a->decoder, a->model, positions));
    a->capacity = positions;
    return OK;
}

/* n: ids of the answer so far. Those up to the last picture are text already. */
static Status decode_text(Answerer *a, int64_t n)
{
    const int32_t *ids = a->ids + a->prompt.n + a->n_final;
    int64_t room = a->text_capacity - (int64_t)a->final;
    int64_t need = tokenizer_decode(a->tokenizer, ids, n - a->n_final, a->text ? a->text + a->final : NULL, room) + 1;
    a->text_bytes = a->final + (size_t)need - 1;
    if (need <= room)
        return OK;
    a->text_capacity = 2 * ((int64_t)a->text_bytes + 1);
    char *text = mem_grow(a->text, (size_t)a->text_capacity);
    if (!text)
        return fail(ERR_NOMEM, "no memory for an answer of %zu bytes", a->text_bytes);
    a->text = text;
    tokenizer_decode(a->tokenizer, ids, n - a->n_final, a->text + a->final, a->text_capacity - (int64_t)a->final);
    return OK;
}

/* Gives the sink what is new, but neither blanks at the ends (the answer is trimmed) nor, unless it is `whole`, a character whose bytes are
 * still coming. */
static void show(const Answerer *a, size_t *shown, bool whole, const AnswerSink *sink)
{
    if (!sink || !sink->text)
        return;
    const char *text = a->text;
    size_t n = a->text_bytes;
    utf8_strip(&text, &n);
    while (!whole && n >= 3 && !memcmp(text + n - 3, UTF8_REPLACEMENT, 3))
        n -= 3;
    if (n > *shown) {
        sink->text(sink->user, text + *shown, n - *shown);
        *shown = n;
    }
}

static char *trimmed(const Answerer *a, size_t *n)
{
    const char *text = a->text;
    *n = a->text_bytes;
    utf8_strip(&text, n);
    char *copy = mem_alloc(*n + 1);
    if (copy)
        memcpy(copy, text, *n);
    return copy;
}

static double draw_number(uint64_t seed, uint64_t question, int64_t position)
{
    Philox4 r = philox4x32(philox_key(seed, RANDOM_SAMPLING, question, 0), (uint32_t)position, (uint32_t)(position >> 32), 0, 0);
    return (double)(((uint64_t)r.v[0] << 21) ^ (r.v[1] >> 11)) * 0x1p-53;
}

/* ---------------------------------------------------------------- pictures in answers */

/* a->context: of the picture whose tokens end the n ids of prompt and answer. */
static Status make_context(Answerer *a, const Prompt *p, int64_t n)
{
    const ModelSizes *sizes = genllava_model_sizes(a->model);
    if (!a->context)
        a->context = mem_alloc((size_t)sizes->queries * (size_t)sizes->context * sizeof *a->context);
    if (!a->context)
        return fail(ERR_NOMEM, "no memory for the context of a picture");
    return decoder_context(a->decoder, a->ids, n, p->pixels, p->n_images, a->context);
}

static void put_visual(const Answerer *a, int64_t at)
{
    for (int32_t i = 0; i < a->n_visual; i++)
        a->ids[at + i] = encoder_visual_id(&a->encoder, i);
}

static Status append_marker(Answerer *a, size_t *shown)
{
    static const char MARKER[] = " " GEN_MARKER " "; /* as it is encoded: one blank on either side is not there */
    const char *marker = a->text_bytes > a->final ? MARKER : MARKER + 1, *text;
    size_t n = strlen(marker);
    if (a->text_bytes + n + 1 > (size_t)a->text_capacity) {
        char *grown = mem_grow(a->text, a->text_bytes + n + 1);
        if (!grown)
            return fail(ERR_NOMEM, "no memory for an answer of %zu bytes", a->text_bytes + n);
        a->text = grown;
        a->text_capacity = (int64_t)(a->text_bytes + n + 1);
    }
    memcpy(a->text + a->text_bytes, marker, n + 1);
    a->text_bytes += n;
    a->final = a->text_bytes;
    text = a->text;
    *shown = a->text_bytes;
    utf8_strip(&text, shown);
    return OK;
}

/* The answer has reached [IMG0] behind *n ids: the other visual output tokens follow, and the text goes on behind them. */
static Status answer_with_picture(Answerer *a, const Prompt *p, int64_t *n, size_t *shown, const AnswerSink *sink)
{
    TRY(decode_text(a, *n));
    show(a, shown, true, sink);
    put_visual(a, a->prompt.n + *n);
    for (int32_t i = 0; i < a->n_visual; i++)
        TRY(decoder_step(a->decoder, a->ids[a->prompt.n + *n + i]));
    *n += a->n_visual;
    a->n_final = *n;
    if (sink && sink->picture) {
        TRY(make_context(a, p, a->prompt.n + *n));
        TRY(sink->picture(sink->user, a->context));
    }
    return append_marker(a, shown);
}

/* ---------------------------------------------------------------- asking */

static Status decode_answer(Answerer *a, const Question *q, const Prompt *p, const Sampling *s, const AnswerSink *sink)
{
    const int64_t left = positions_left(a), most = left < s->max_new_tokens ? left : s->max_new_tokens;
    int64_t n = 0;
    size_t shown = 0;
    a->n_final = 0;
    a->final = 0;
    while (n < most) {
        const char *why = s->stopped ? s->stopped() : NULL;
        if (why)
            return fail(ERR_PREEMPTED, "%s", why);
        int32_t id =
            sample_token(decoder_logits(a->decoder), a->n_choices, s->temperature, s->top_p, draw_number(s->seed, q->index, n), a->scratch);
        if (generation_ends_at(&a->ends, id))
            break;
        if (a->n_visual && id == encoder_visual_id(&a->encoder, 0)) {
            TRY(answer_with_picture(a, p, &n, &shown, sink));
            continue;
        }
        a->ids[a->prompt.n + n++] = id;
        if (sink && sink->text) { /* the whole text anew: only for someone who watches */
            TRY(decode_text(a, n));
            show(a, &shown, false, sink);
        }
        if (n < most)
            TRY(decoder_step(a->decoder, id));
    }
    if (n == left)
        log_warn("the answer ends where the language model has no more positions (max_position_embeddings)");
    TRY(decode_text(a, n));
    show(a, &shown, true, sink);
    return OK;
}

static Status answer_prompt(Answerer *a, const Question *q, const Prompt *p, const Sampling *s, const AnswerSink *sink)
{
    TRY(reserve(a, a->prompt.expanded + s->max_new_tokens + a->n_visual, a->prompt.n, p, false));
    TRY(decoder_prompt(a->decoder, a->prompt.id, a->prompt.n, p->pixels, p->n_images));
    return decode_answer(a, q, p, s, sink);
}

Status answerer_ask(Answerer *a, const Question *q, const Sampling *s, const AnswerSink *sink, char **answer, size_t *n)
{
    Prompt p;
    *answer = NULL;
    Status status = open_prompt(a, &p, q, TASK_UNDERSTAND, s->max_new_tokens + a->n_visual);
    if (!status)
        status = answer_prompt(a, q, &p, s, sink);
    close_prompt(&p);
    TRY(status);
    *answer = trimmed(a, n);
    return *answer ? OK : fail(ERR_NOMEM, "no memory for the answer");
}

Status answerer_context(Answerer *a, const Question *q, Task task, float *context)
{
    Prompt p;
    if (!a->n_visual)
        return fail(ERR_USAGE, "this model does not draw: %s", a->cfg->model.diffusion.path ? "model.tokens.image is 0"
                                                                                              : "model.diffusion.path is null");
    Status s = open_prompt(a, &p, q, task, a->n_visual);
    const int64_t n = a->prompt.n + a->n_visual;
    if (!s) {
        put_visual(a, a->prompt.n);
        s = reserve(a, a->prompt.expanded + a->n_visual, n, &p, true);
    }
    if (!s)
        s = decoder_context(a->decoder, a->ids, n, p.pixels, p.n_images, context);
    close_prompt(&p);
    return s;
}
