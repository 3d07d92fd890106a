/* encode.c: from a record's conversation to token ids and the label mask (encode.h). Called by prepare and generate. */
#include "data/text/encode.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "data/text/template.h"
#include "kernels/base/arena.h"
#include "kernels/base/log.h"

/* Of all ids so far, kept or not. */
typedef struct Count {
    int64_t ids, rows, trained, visual; /* rows: images expanded */
} Count;

/* Text since the last id that is not text, tokenised as one piece when the next one comes: SentencePiece puts its prefix before each
 * piece. */
typedef struct Encoder {
    EncodedSample *out;
    const EncoderOptions *o;
    const Tokenizer *tok;
    const ChatFormat *f;
    size_t n;     /* bytes of out->text */
    int64_t most; /* ids that are kept: what stands behind them is only counted */
    Count count;
    bool too_long; /* a word was met that the tokenizer does not take */
    RecordText system;
    int64_t answer;     /* tokens that end after this byte of the piece are trained; NOT_ANSWER: none */
    bool swallow_space; /* the next byte is dropped if it is a space */
} Encoder;
#define NOT_ANSWER INT64_MAX

/* ---------------------------------------------------------------- added ids */

int32_t encoder_task_id(const EncoderOptions *o, Task task)
{
    int32_t id = o->vocab_size;
    for (int t = 0; t < (int)task; t++)
        id += o->task_text[t] != NULL;
    return o->task_text[task] ? id : -1;
}

static int32_t n_task_ids(const EncoderOptions *o)
{
    int32_t n = 0;
    for (int t = 0; t < N_TASKS; t++)
        n += o->task_text[t] != NULL;
    return n;
}

int32_t encoder_visual_id(const EncoderOptions *o, int k) { return k < o->n_visual ? o->vocab_size + n_task_ids(o) + k : -1; }
int32_t encoder_added_count(const EncoderOptions *o) { return n_task_ids(o) + o->n_visual; }

const char *encoder_added_text(const EncoderOptions *o, int k, char *buf, size_t n)
{
    for (int t = 0; t < N_TASKS; t++)
        if (encoder_task_id(o, (Task)t) == o->vocab_size + k)
            return o->task_text[t];
    snprintf(buf, n, "[IMG%d]", k - n_task_ids(o));
    return buf;
}

Status encoder_check(const EncoderOptions *o, const Tokenizer *tok, const char *tokenizer_path)
{
    static const char INST[] = "[INST]";
    int32_t n = tokenizer_info(tok)->n_pieces;
    if (n > o->vocab_size)
        return fail(ERR_DATA, "%s: %d pieces, but the language model's config.json says vocab_size %d: they do not belong together",
                    tokenizer_path, n, o->vocab_size);
    if (strstr(chat_format(o->chat)->human_open, INST) && tokenizer_control(tok, INST) >= 0)
        return fail(ERR_DATA, "%s: %s is a token of its own here, as in Mistral 0.3, but the template writes it as text, as versions 0.1 "
                              "and 0.2 do; take one of those as base model, or another data.template", tokenizer_path, INST);
    if (n < o->vocab_size)
        log_info("%s: %d pieces, the language model's vocab_size is %d: added ids start at %d, those between stand for no text",
                 tokenizer_path, n, o->vocab_size, o->vocab_size);
    return OK;
}

/* ---------------------------------------------------------------- building */

void encoded_free(EncodedSample *s)
{
    mem_free(s->id);
    mem_free(s->mask);
    mem_free(s->end);
    mem_free(s->text);
    *s = (EncodedSample){0};
}

static Status no_memory(size_t n) { return fail(ERR_NOMEM, "no memory to encode a text of %zu bytes", n); }

/* Room for `more` ids. */
static Status reserve(EncodedSample *s, int64_t more)
{
    if (s->n + more <= s->capacity)
        return OK;
    int64_t capacity = s->n + more + s->capacity / 2;
    int32_t *id = mem_grow(s->id, (size_t)capacity * sizeof *id);
    if (id)
        s->id = id;
    uint8_t *mask = mem_grow(s->mask, (size_t)capacity);
    if (mask)
        s->mask = mask;
    uint32_t *end = mem_grow(s->end, (size_t)capacity * sizeof *end);
    if (end)
        s->end = end;
    if (!id || !mask || !end)
        return no_memory((size_t)capacity);
    s->capacity = capacity;
    return OK;
}

static Status put_text(Encoder *e, const char *text, size_t n)
{
    EncodedSample *s = e->out;
    if (n && e->swallow_space) {
        e->swallow_space = false;
        size_t dropped = *text == ' ';
        text += dropped;
        n -= dropped;
    }
    if (e->n + n > s->text_capacity) {
        size_t capacity = e->n + n + s->text_capacity / 2;
        char *grown = mem_grow(s->text, capacity);
        if (!grown)
            return no_memory(capacity);
        s->text = grown;
        s->text_capacity = capacity;
    }
    if (n)
        memcpy(s->text + e->n, text, n);
    e->n += n;
    return OK;
}

static Status put_literal(Encoder *e, const char *text) { return put_text(e, text, strlen(text)); }

/* Tokenises the piece gathered so far; what follows it in the same turn is trained as its end was. */
static Status flush(Encoder *e)
{
    EncodedSample *s = e->out;
    size_t n = e->n;
    int64_t answer = e->answer;
    e->n = 0;
    e->answer = answer == NOT_ANSWER ? NOT_ANSWER : -1;
    if (!n)
        return OK;
    int64_t room = e->most - s->n, most = (int64_t)n + 1; /* a piece for each byte and one for the prefix at most */
    TRY(reserve(s, most < room ? most : room));
    TokenizerOutput pieces = {.ids = s->id + s->n, .end = s->end, .cap = most < room ? most : room, .after = answer};
    int64_t count = tokenizer_encode(e->tok, s->text, n, &pieces);
    e->too_long |= count == TOKENIZER_TOO_LONG;
    if (count < 0)
        return e->too_long ? OK : no_memory(n);
    for (int64_t i = 0; i < count && i < pieces.cap; i++)
        s->mask[s->n + i] = (int64_t)s->end[i] > answer ? MASK_TRAINED : 0;
    s->n += count < pieces.cap ? count : pieces.cap;
    e->count.ids += count;
    e->count.rows += count;
    e->count.trained += pieces.n_after;
    return OK;
}

static Status put_id(Encoder *e, int32_t id, TokenKind kind, bool trained)
{
    EncodedSample *s = e->out;
    TRY(flush(e));
    e->swallow_space = false;
    e->count.ids++;
    e->count.rows += id == ID_IMAGE ? e->o->patches : 1;
    e->count.trained += trained;
    e->count.visual += kind == KIND_VISUAL;
    if (s->n == e->most)
        return OK;
    TRY(reserve(s, 1));
    s->id[s->n] = id;
    s->mask[s->n++] = (uint8_t)((unsigned)kind << MASK_KIND_SHIFT | (trained ? MASK_TRAINED : 0u));
    return OK;
}

/* Task and visual tokens take one space directly before and one directly after with them. */
static void swallow_before(Encoder *e)
{
    if (e->n && e->out->text[e->n - 1] == ' ')
        e->n--;
}

static Status put_task(Encoder *e, int32_t id)
{
    swallow_before(e);
    TRY(put_id(e, id, KIND_TASK, false));
    e->swallow_space = true;
    return OK;
}

static Status put_run(Encoder *e)
{
    swallow_before(e);
    for (int k = 0; k < e->o->n_visual; k++)
        TRY(put_id(e, encoder_visual_id(e->o, k), KIND_VISUAL, true));
    e->swallow_space = true;
    return OK;
}

/* ---------------------------------------------------------------- turns */

/* A question's text without its markers, stripped, appended to the piece. */
static Status put_without_markers(Encoder *e, const RecordTurn *t)
{
    char *text = mem_alloc(t->length);
    if (!text)
        return no_memory(t->length);
    size_t n = record_question(text, t);
    Status s = n ? put_literal(e, "\n") : OK;
    if (!s)
        s = put_text(e, text, n);
    mem_free(text);
    return s;
}

/* The question with its k images in front, a line each; untouched when there are none. */
static Status put_question(Encoder *e, const RecordTurn *t, int images)
{
    for (int i = 0; i < images; i++) {
        if (i && !e->f->pictures_only)
            TRY(put_literal(e, "\n"));
        TRY(put_id(e, ID_IMAGE, KIND_IMAGE, false));
        e->out->n_images++;
    }
    if (e->f->pictures_only)
        return OK;
    return images ? put_without_markers(e, t) : put_text(e, t->text, t->length);
}

static Status put_answer(Encoder *e, const RecordTurn *t)
{
    const char *at = t->text, *end = t->text + t->length, *marker;
    while ((marker = memmem(at, (size_t)(end - at), GEN_MARKER, sizeof GEN_MARKER - 1))) {
        TRY(put_text(e, at, (size_t)(marker - at)));
        TRY(put_run(e));
        at = marker + sizeof GEN_MARKER - 1;
    }
    return put_text(e, at, (size_t)(end - at));
}

/* The given one, else the template's. */
static Status put_system(Encoder *e)
{
    const RecordText usual = {e->f->system, strlen(e->f->system)}, text = e->system.length ? e->system : usual;
    if (!text.length)
        return OK;
    TRY(put_literal(e, e->f->system_open));
    TRY(put_text(e, text.text, text.length));
    return put_literal(e, e->f->system_close);
}

/* Everything up to where the answer starts. task_id: -1 for none. */
static Status put_human(Encoder *e, const RecordTurn *t, bool first, int32_t task_id, int images)
{
    const TokenizerInfo *info = tokenizer_info(e->tok);
    if (first || e->f->bos_each_round)
        TRY(put_id(e, info->bos, KIND_TEXT, false));
    if (first && e->f->system_first)
        TRY(put_system(e));
    TRY(put_literal(e, e->f->human_open));
    if (first && !e->f->system_first)
        TRY(put_system(e));
    if (first && task_id >= 0 && !e->f->pictures_only) {
        TRY(put_task(e, task_id));
        TRY(put_literal(e, " "));
    }
    TRY(put_question(e, t, images));
    return put_literal(e, e->f->human_close);
}

static Status put_gpt(Encoder *e, const RecordTurn *t)
{
    e->answer = e->n ? (int64_t)e->n : -1; /* an answer that starts a piece owns the prefix too */
    TRY(put_literal(e, e->f->answer_open));
    TRY(put_answer(e, t));
    TRY(put_literal(e, e->f->answer_close));
    if (e->f->pictures_only)
        TRY(flush(e));
    else
        TRY(put_id(e, tokenizer_info(e->tok)->eos, KIND_TEXT, true));
    e->answer = NOT_ANSWER;
    return OK;
}

static Encoder start(EncodedSample *out, const EncoderOptions *o, const Tokenizer *tok, RecordText system)
{
    out->n = out->expanded = out->n_cut = 0;
    out->n_images = out->n_runs = out->n_trained = 0;
    return (Encoder){.most = INT64_MAX, .out = out, .o = o, .tok = tok, .f = chat_format(o->chat), .system = system, .answer = NOT_ANSWER};
}

/* ---------------------------------------------------------------- records */

static int count_images(const Record *rec, ImageRole role)
{
    int n = 0;
    for (int i = 0; i < rec->n_images; i++)
        n += rec->images[i].role == role;
    return n;
}

static const char TOO_LONG[] = "a word of more than 1 MiB (words are what spaces separate): it is not tokenised";
static const char NO_SYSTEM[] = "a system text, and the template plain has no place for one";

/* Whether the turns can be rounds: *turns, *n become those of whole and possibly one last unanswered round. */
static bool check_turns(const EncoderOptions *o, RecordText system, const RecordTurn **turns, int *n, char message[256])
{
    if (o->chat == CHAT_PLAIN && system.length) {
        snprintf(message, 256, "%s", NO_SYSTEM);
        return false;
    }
    if (o->chat == CHAT_PLAIN && (*n != 2 || !(*turns)[0].human || (*turns)[1].human)) {
        snprintf(message, 256, "%d turn%s, and the template plain takes one human and one gpt turn", *n, status_plural(*n));
        return false;
    }
    int skipped = *n && !(*turns)[0].human;
    *turns += skipped;
    *n -= skipped;
    for (int i = 0; i < *n; i++) {
        if ((*turns)[i].human == (i % 2 == 0))
            continue;
        snprintf(message, 256, "turn %d is from %s, expected %s", i + skipped, i % 2 ? "human again" : "gpt again",
                 i % 2 ? "gpt" : "human");
        return false;
    }
    if (!*n)
        snprintf(message, 256, "%s", skipped ? "no turn after the first, which is not from human" : "no turns");
    return *n > 0;
}

static bool check_markers(const EncoderOptions *o, const Record *rec, const RecordTurn *turns, int n, char message[256])
{
    int markers = 0, runs = 0, inputs = count_images(rec, ROLE_INPUT), targets = count_images(rec, ROLE_TARGET);
    for (int i = 0; i < n; i++) {
        markers += turns[i].human ? record_count_marker(&turns[i], IMAGE_MARKER) : 0;
        runs += turns[i].human ? 0 : record_count_marker(&turns[i], GEN_MARKER);
    }
    if (markers != inputs)
        snprintf(message, 256, "%d <image> marker%s in human turns, %d input image%s", markers, status_plural(markers), inputs,
                 status_plural(inputs));
    else if (runs != targets)
        snprintf(message, 256, "%d <gen> marker%s in gpt turns, %d target image%s", runs, status_plural(runs), targets,
                 status_plural(targets));
    else if (runs && !o->n_visual)
        snprintf(message, 256, "<gen> in a gpt turn, but model.tokens.image is 0");
    else
        return true;
    return false;
}

/* How many of the first rounds stay within max_tokens, at least one of them. */
static int rounds_that_fit(const Count *round_end, int rounds, const EncoderOptions *o)
{
    int fit = 0;
    while (fit < rounds && round_end[fit].rows <= o->max_tokens)
        fit++;
    return fit || !rounds ? fit : 1;
}

/* Cuts the single round left to max_tokens; false (with a sentence) when that would go through or lose what is never cut. */
static bool cut_plainly(EncodedSample *s, const EncoderOptions *o, const Count *whole, char message[256])
{
    int64_t rows = 0, kept = 0, visual = 0;
    for (; kept < s->n && rows + (s->id[kept] == ID_IMAGE ? o->patches : 1) <= o->max_tokens; kept++) {
        rows += s->id[kept] == ID_IMAGE ? o->patches : 1;
        visual += s->mask[kept] >> MASK_KIND_SHIFT == KIND_VISUAL;
    }
    const char *lost = kept < s->n && s->id[kept] == ID_IMAGE ? "an image" : visual < whole->visual ? "[IMG] tokens" : NULL;
    if (lost)
        snprintf(message, 256, "%" PRId64 " tokens, data.max_tokens is %" PRId64 ", and the cut would go through %s", whole->rows,
                 o->max_tokens, lost);
    s->n = kept;
    return !lost;
}

/* Encodes round after round. What cannot be kept is counted and not stored; a word that is too long ends the last round before it. */
static Status encode_rounds(Encoder *e, const Record *rec, const RecordTurn *turns, int n, Count **round_end, int *rounds)
{
    bool pictured = count_images(rec, ROLE_INPUT) + count_images(rec, ROLE_TARGET) > 0;
    int32_t task_id = pictured ? encoder_task_id(e->o, rec->task) : -1;
    e->most = e->o->max_tokens + 1; /* one more, so that it is seen what the cut would go through */
    *round_end = mem_alloc((size_t)(n / 2 + 1) * sizeof **round_end);
    if (!*round_end)
        return no_memory((size_t)n);
    *rounds = 0;
    for (int i = 0; i + 1 < n; i += 2) {
        int images = record_count_marker(&turns[i], IMAGE_MARKER);
        TRY(put_human(e, &turns[i], i == 0, task_id, images));
        TRY(put_gpt(e, &turns[i + 1]));
        if (e->too_long)
            return OK;
        (*round_end)[(*rounds)++] = e->count;
    }
    return OK;
}

/* Counts of what is left; false when no answer of the rounds kept has any text. */
static bool finish(EncodedSample *s, const EncoderOptions *o, const RecordTurn *turns, int rounds, char message[256])
{
    bool any_answer = false;
    s->n_images = s->n_runs = s->n_trained = 0;
    for (int64_t i = 0; i < s->n; i++) {
        s->n_images += s->id[i] == ID_IMAGE;
        s->n_runs += s->id[i] == encoder_visual_id(o, 0);
        s->n_trained += s->mask[i] & MASK_TRAINED;
    }
    s->expanded = s->n + s->n_images * ((int64_t)o->patches - 1);
    for (int r = 0; r < rounds; r++)
        any_answer |= turns[2 * r + 1].length > 0;
    if (!any_answer)
        snprintf(message, 256, "%s", rounds ? "every answer is empty" : "no answer");
    else if (!s->n_trained)
        snprintf(message, 256, "nothing of the answer is left within data.max_tokens = %" PRId64, o->max_tokens);
    return any_answer && s->n_trained;
}

Status encode_record(EncodedSample *out, const EncoderOptions *o, const Tokenizer *tok, const Record *rec, Reject *reject,
                     char message[256])
{
    Encoder e = start(out, o, tok, rec->system);
    const RecordTurn *turns = rec->turns;
    int n = rec->n_turns;
    *reject = REJECT_NONE;
    message[0] = 0;
    if (!check_turns(o, rec->system, &turns, &n, message))
        *reject = REJECT_BAD_TURNS;
    else if (!check_markers(o, rec, turns, n, message))
        *reject = REJECT_MARKERS;
    if (*reject)
        return OK;
    Count *round_end = NULL;
    int rounds = 0;
    Status s = encode_rounds(&e, rec, turns, n, &round_end, &rounds);
    if (!s && e.too_long && !rounds) {
        *reject = REJECT_TOO_LONG;
        snprintf(message, 256, "%s", TOO_LONG);
    } else if (!s) {
        rounds = rounds_that_fit(round_end, rounds, o);
        const Count whole = rounds ? round_end[rounds - 1] : (Count){0};
        out->n = whole.ids < out->n ? whole.ids : out->n;
        if (whole.rows > o->max_tokens && !cut_plainly(out, o, &whole, message))
            *reject = REJECT_TOO_LONG;
        else if (!finish(out, o, turns, rounds, message))
            *reject = REJECT_NO_TRAINED;
        out->n_cut = e.count.trained - out->n_trained;
        out->whole = e.count.rows;
    }
    mem_free(round_end);
    return s;
}

/* ---------------------------------------------------------------- prompts */

Status encode_prompt(EncodedSample *out, const EncoderOptions *o, const Tokenizer *tok, RecordText system, const RecordTurn *turns,
                     int n_turns, int n_images, Task task)
{
    Encoder e = start(out, o, tok, system);
    int markers = 0;
    if (o->chat == CHAT_PLAIN && system.length)
        return fail(ERR_USAGE, "%s", NO_SYSTEM);
    for (int i = 0; i < n_turns; i++) {
        if (turns[i].human != (i % 2 == 0))
            return fail(ERR_USAGE, "turn %d of the dialogue is from %s, expected %s", i, turns[i].human ? "human" : "gpt",
                        i % 2 ? "gpt" : "human");
        markers += turns[i].human ? record_count_marker(&turns[i], IMAGE_MARKER) : 0;
    }
    if (n_turns % 2 == 0)
        return fail(ERR_USAGE, "the dialogue has no question at its end");
    if (markers && markers != n_images)
        return fail(ERR_USAGE, "%d <image> marker%s in the questions, %d image%s given", markers, status_plural(markers), n_images,
                    status_plural(n_images));
    int32_t task_id = n_images || task == TASK_GENERATE ? encoder_task_id(o, task) : -1;
    for (int i = 0; i < n_turns; i += 2) {
        int images = markers ? record_count_marker(&turns[i], IMAGE_MARKER) : i ? 0 : n_images;
        TRY(put_human(&e, &turns[i], i == 0, task_id, images));
        if (i + 1 < n_turns)
            TRY(put_gpt(&e, &turns[i + 1]));
    }
    TRY(flush(&e));
    if (e.too_long)
        return fail(ERR_USAGE, "%s", TOO_LONG);
    for (int64_t i = 0; i < out->n; i++)
        out->mask[i] &= (uint8_t)~MASK_TRAINED;
    out->expanded = e.count.rows;
    return OK;
}
