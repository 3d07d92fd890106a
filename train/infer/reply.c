/* reply.c: see reply.h. Called by answer.c and answer_many.c. */
#include "train/infer/reply.h"

#include <string.h>

#include "kernels/base/arena.h"
#include "kernels/base/log.h"
#include "kernels/base/philox.h"
#include "kernels/base/utf8.h"

Status reply_begin(Reply *r, const ReplyRules *rules, const Sampling *s, const int32_t *prompt, int64_t n, int64_t left, uint64_t index)
{
    const size_t room = (size_t)(n + s->max_new_tokens + rules->n_visual);
    *r = (Reply){.rules = rules, .sampling = s, .index = index, .n_prompt = n, .left = left};
    r->most = left < s->max_new_tokens ? left : s->max_new_tokens;
    r->ids = mem_alloc(room * sizeof *r->ids);
    if (!r->ids)
        return fail(ERR_NOMEM, "no memory for a question and its answer of %zu tokens", room);
    memcpy(r->ids, prompt, (size_t)n * sizeof *r->ids);
    return OK;
}

void reply_free(Reply *r)
{
    mem_free(r->ids);
    mem_free(r->text);
    *r = (Reply){.rules = NULL};
}

/* ---------------------------------------------------------------- text */

/* Ids up to the last picture are text already. */
static Status decode_text(Reply *r)
{
    const int32_t *ids = r->ids + r->n_prompt + r->n_final;
    const int64_t n = r->n - r->n_final, room = r->text_capacity - (int64_t)r->final;
    const int64_t need = tokenizer_decode(r->rules->tokenizer, ids, n, r->text ? r->text + r->final : NULL, room) + 1;
    r->text_bytes = r->final + (size_t)need - 1;
    if (need <= room)
        return OK;
    r->text_capacity = 2 * ((int64_t)r->text_bytes + 1);
    char *text = mem_grow(r->text, (size_t)r->text_capacity);
    if (!text)
        return fail(ERR_NOMEM, "no memory for an answer of %zu bytes", r->text_bytes);
    r->text = text;
    tokenizer_decode(r->rules->tokenizer, ids, n, r->text + r->final, r->text_capacity - (int64_t)r->final);
    return OK;
}

/* Gives the sink what is new, but neither blanks at the ends (the answer is trimmed) nor, unless it is `whole`, a character whose bytes are
 * still coming. */
static void show(Reply *r, bool whole)
{
    if (!r->sink || !r->sink->text)
        return;
    const char *text = r->text;
    size_t n = r->text_bytes;
    utf8_strip(&text, &n);
    while (!whole && n >= 3 && !memcmp(text + n - 3, UTF8_REPLACEMENT, 3))
        n -= 3;
    if (n > r->shown) {
        r->sink->text(r->sink->user, text + r->shown, n - r->shown);
        r->shown = n;
    }
}

Status reply_text(const Reply *r, char **out, size_t *n)
{
    const char *text = r->text;
    *n = r->text_bytes;
    utf8_strip(&text, n);
    *out = mem_alloc(*n + 1);
    if (!*out)
        return fail(ERR_NOMEM, "no memory for the answer");
    memcpy(*out, text, *n);
    return OK;
}

static Status append_marker(Reply *r)
{
    static const char MARKER[] = " " GEN_MARKER " "; /* as it is encoded: one blank on either side is not there */
    const char *marker = r->text_bytes > r->final ? MARKER : MARKER + 1, *text;
    size_t n = strlen(marker);
    if (r->text_bytes + n + 1 > (size_t)r->text_capacity) {
        char *grown = mem_grow(r->text, r->text_bytes + n + 1);
        if (!grown)
            return fail(ERR_NOMEM, "no memory for an answer of %zu bytes", r->text_bytes + n);
        r->text = grown;
        r->text_capacity = (int64_t)(r->text_bytes + n + 1);
    }
    memcpy(r->text + r->text_bytes, marker, n + 1);
    r->text_bytes += n;
    r->final = r->text_bytes;
    text = r->text;
    r->shown = r->text_bytes;
    utf8_strip(&text, &r->shown);
    return OK;
}

/* ---------------------------------------------------------------- tokens */

static double draw_number(const Reply *r)
{
    const uint64_t key = philox_key(r->sampling->seed, RANDOM_SAMPLING, r->index, 0);
    Philox4 p = philox4x32(key, (uint32_t)r->n, (uint32_t)(r->n >> 32), 0, 0);
    return (double)(((uint64_t)p.v[0] << 21) ^ (p.v[1] >> 11)) * 0x1p-53;
}

static void append(Reply *r, int32_t id) { r->ids[r->n_prompt + r->n++] = id; }

/* The answer has reached [IMG0]: the other visual output tokens follow, and the text goes on behind them. True: *state says what is next.
 */
static bool follow_picture(Reply *r, ReplyState *state, int32_t *id)
{
    if (r->n_drawn < r->rules->n_visual) {
        *id = encoder_visual_id(&r->rules->encoder, r->n_drawn++);
        append(r, *id);
        *state = REPLY_GOES_ON;
        return true;
    }
    *state = REPLY_PICTURE;
    r->n_final = r->n;
    r->picture_told = !r->picture_told;
    return r->picture_told;
}

static Status finish(Reply *r, ReplyState *state)
{
    *state = REPLY_DONE;
    if (r->n == r->left)
        log_warn("the answer ends where the language model has no more positions (max_position_embeddings)");
    TRY(decode_text(r));
    show(r, true);
    return OK;
}

Status reply_next(Reply *r, const float *logits, ReplyState *state, int32_t *id)
{
    const ReplyRules *rules = r->rules;
    const Sampling *s = r->sampling;
    if (r->n_drawn) {
        if (follow_picture(r, state, id))
            return OK;
        r->n_drawn = 0;
        TRY(append_marker(r));
    }
    if (r->n >= r->most)
        return finish(r, state);
    const char *why = s->stopped ? s->stopped() : NULL;
    if (why)
        return fail(ERR_PREEMPTED, "%s", why);
    *id = sample_token(logits, rules->n_choices, s->temperature, s->top_p, draw_number(r), rules->scratch);
    if (generation_ends_at(&rules->ends, *id))
        return finish(r, state);
    *state = REPLY_GOES_ON;
    if (rules->n_visual && *id == encoder_visual_id(&rules->encoder, 0)) {
        TRY(decode_text(r));
        show(r, true);
        append(r, *id);
        r->n_drawn = 1;
        return OK;
    }
    append(r, *id);
    if (r->sink && r->sink->text) { /* the whole text anew: only for someone who watches */
        TRY(decode_text(r));
        show(r, false);
    }
    return r->n < r->most ? OK : finish(r, state);
}
