/* samples.c: reads the prompts that a run answers while it trains, and plans the memory (samples.h); samples_write.c answers them. Called
 * by the loop and by the memory plan. */
#include "train/log/samples.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "data/formats/file.h"
#include "data/formats/json_write.h"
#include "data/formats/rows.h"
#include "data/text/tokenizer.h"
#include "train/config/plan.h"
#include "train/infer/painter.h"

/* ---------------------------------------------------------------- reading */

enum { TOLD = 12, TOLD_BYTES = 600 }; /* mistakes, and bytes of each */

typedef struct Reader {
    Samples *s;
    const char *file;
    int line;
    const RunConfig *cfg;
    const char *absent; /* why no pictures can be drawn; NULL: they can */
    EncoderOptions encoder;
    Tokenizer *tokenizer;
    const Preprocessor *preprocessor;       /* NULL: the model does not see */
    char text[TOLD * (TOLD_BYTES + 1) + 1]; /* mistakes, a line each */
    size_t n;
    int missing, wrong;
} Reader;

/* Notes a mistake of the present line; other failures are passed on. */
static Status gather(Reader *r, Status s)
{
    if (s != ERR_DATA && s != ERR_MISSING && s != ERR_USAGE && s != ERR_IO)
        return s;
    *(s == ERR_MISSING ? &r->missing : &r->wrong) += 1;
    if (r->missing + r->wrong <= (int)TOLD)
        r->n += (size_t)snprintf(r->text + r->n, TOLD_BYTES + 2, "%s%.*s", r->n ? "\n" : "", (int)TOLD_BYTES, status_message());
    return OK;
}

static Status grow(void **list, int n, size_t size)
{
    void *grown = mem_grow(*list, (size_t)(n + 1) * size);
    if (!grown)
        return fail(ERR_NOMEM, "no memory for the prompts to sample");
    memset((char *)grown + (size_t)n * size, 0, size);
    *list = grown;
    return OK;
}

static char *picture_path(const Samples *s, const char *image, char path[PATH_MAX])
{
    if (*image != '/')
        return file_join(path, s->folder, image);
    snprintf(path, PATH_MAX, "%s", image);
    return path;
}

static Status read_picture(const Reader *r, SamplePrompt *p, const Json *image)
{
    char path[PATH_MAX];
    if (image->kind != JSON_STRING)
        return fail(ERR_DATA, "%s:%d: \"image\" holds %s; it takes a path or a list of paths", r->file, r->line,
                    json_kind_name(image->kind));
    if (!r->preprocessor)
        return fail(ERR_DATA, "%s:%d: \"image\": this model has no vision tower (model.vision.path is null)", r->file, r->line);
    picture_path(r->s, image->string, path);
    const size_t n_bytes = (size_t)r->preprocessor->prep.height * (size_t)r->preprocessor->prep.width * 3;
    TRY(grow((void **)&p->images, p->n_images, sizeof *p->images));
    TRY(grow((void **)&p->pixels, p->n_images, n_bytes));
    p->images[p->n_images] = mem_strdup(image->string);
    if (!p->images[p->n_images++])
        return fail(ERR_NOMEM, "no memory for the prompts to sample");
    return fail_context(answer_picture(&r->preprocessor->prep, NULL, path, p->pixels + (size_t)(p->n_images - 1) * n_bytes), "%s:%d",
                        r->file, r->line);
}

static Status read_pictures(const Reader *r, SamplePrompt *p, const Json *image)
{
    if (image->kind == JSON_NULL)
        return OK;
    if (image->kind != JSON_ARRAY)
        return read_picture(r, p, image);
    for (const Json *e = image->child; e; e = e->next)
        TRY(read_picture(r, p, e));
    return OK;
}

static const char *const KEYS[N_TASKS] = {[TASK_UNDERSTAND] = "ask", [TASK_GENERATE] = "draw", [TASK_EDIT] = "edit"};

/* The member of the object that has the text. */
static Status read_task(const Reader *r, SamplePrompt *p, const Json *o, const Json **text)
{
    *text = NULL;
    for (const Json *m = o->child; m; m = m->next) {
        bool known = !strcmp(m->key, "image") || !strcmp(m->key, "expected") || json_is_comment(m->key);
        for (int t = 0; t < N_TASKS; t++) {
            if (strcmp(m->key, KEYS[t]))
                continue;
            if (*text)
                return fail(ERR_DATA, "%s:%d: has \"%s\" and \"%s\"; a prompt asks for one thing", r->file, r->line, p->key, m->key);
            known = true;
            *text = m;
            p->task = (Task)t;
            p->key = KEYS[t];
        }
        if (!known)
            return fail(ERR_DATA, "%s:%d: \"%s\" is no key of a prompt; they are \"ask\", \"draw\", \"edit\", \"image\" and \"expected\"",
                        r->file, r->line, m->key);
    }
    if (!*text)
        return fail(ERR_DATA, "%s:%d: \"ask\" is missing; it takes the text of a question", r->file, r->line);
    if ((*text)->kind != JSON_STRING)
        return fail(ERR_DATA, "%s:%d: \"%s\" is %s; it takes the text of a question", r->file, r->line, p->key,
                    json_kind_name((*text)->kind));
    return OK;
}

static Status check_drawn(const Reader *r, const SamplePrompt *p)
{
    if (p->task == TASK_UNDERSTAND)
        return OK;
    if (r->absent)
        return fail(ERR_USAGE, "%s:%d: \"%s\": this model does not draw: %s", r->file, r->line, p->key, r->absent);
    if (p->task == TASK_GENERATE && p->n_images)
        return fail(ERR_DATA, "%s:%d: \"draw\" begins without a picture, and there is an \"image\"; \"edit\" changes one", r->file,
                    r->line);
    if (p->task == TASK_EDIT && !p->n_images)
        return fail(ERR_DATA, "%s:%d: \"edit\" needs an \"image\", the path of the picture to change", r->file, r->line);
    return OK;
}

static Status read_source(const Reader *r, SamplePrompt *p)
{
    char path[PATH_MAX];
    if (p->task != TASK_EDIT)
        return OK;
    return fail_context(painter_source(r->cfg, NULL, picture_path(r->s, p->images[0], path), &p->source), "%s:%d", r->file, r->line);
}

static char *copy_text(const Json *text, size_t *n)
{
    char *copy = mem_alloc(text->length + 1);
    if (copy)
        memcpy(copy, text->string, text->length);
    *n = text->length;
    return copy;
}

static Status read_prompt(const Reader *r, SamplePrompt *p, const Json *o)
{
    const Json *text, *image, *expected = json_get(o, "expected");
    if (o->kind != JSON_OBJECT)
        return fail(ERR_DATA, "%s:%d: %s; a prompt is an object {\"ask\": text, \"image\": path}", r->file, r->line,
                    json_kind_name(o->kind));
    TRY(read_task(r, p, o, &text));
    if ((image = json_get(o, "image")))
        TRY(read_pictures(r, p, image));
    TRY(check_drawn(r, p));
    TRY(read_source(r, p));
    if (expected && expected->kind != JSON_STRING && expected->kind != JSON_NULL)
        return fail(ERR_DATA, "%s:%d: \"expected\" is %s; it takes the text of an answer", r->file, r->line,
                    json_kind_name(expected->kind));
    p->text = copy_text(text, &p->n_text);
    if (expected && expected->kind == JSON_STRING)
        p->expected = copy_text(expected, &p->n_expected);
    if (!p->text || (expected && expected->kind == JSON_STRING && !p->expected))
        return fail(ERR_NOMEM, "no memory for the prompts to sample");
    RecordTurn turn = {.human = true, .text = p->text, .length = p->n_text};
    return fail_context(encode_prompt(&p->encoded, &r->encoder, r->tokenizer, (RecordText){0}, &turn, 1, p->n_images, p->task), "%s:%d",
                        r->file, r->line);
}

static Status read_row(Reader *r, const Row *row)
{
    JsonDoc *doc = NULL;
    TRY(grow((void **)&r->s->list, r->s->n, sizeof *r->s->list));
    SamplePrompt *p = &r->s->list[r->s->n++];
    r->line = row->line;
    Status s =
        row->error ? fail(ERR_DATA, "%s:%s", r->file, row->error) : json_parse_at(&doc, row->text, row->n, r->file, row->line, row->column);
    if (s == OK)
        s = read_prompt(r, p, json_root(doc));
    json_free(&doc);
    return gather(r, s);
}

static Status read_rows(Reader *r)
{
    Rows *rows;
    Row row;
    bool end = false;
    TRY_IN(rows_open(&rows, r->file, ROWS_LINES), "sample.prompts");
    Status s = OK;
    while (!s && !(s = rows_next(rows, &row, &end)) && !end)
        s = read_row(r, &row);
    rows_close(&rows);
    return s;
}

static Status read_file(Reader *r, const RunConfig *cfg)
{
    char path[PATH_MAX];
    file_join(path, cfg->model.llm.path, "tokenizer.model");
    TRY_IN(tokenizer_open(&r->tokenizer, path), "model.llm.path");
    TRY(read_rows(r));
    int bad = r->wrong + r->missing;
    char more[64] = "";
    if (bad > (int)TOLD)
        snprintf(more, sizeof more, "\nand %d more", bad - (int)TOLD);
    if (bad)
        return fail(r->wrong ? ERR_DATA : ERR_MISSING, "sample.prompts: %d of its %d lines cannot be used:\n%s%s", bad, r->s->n, r->text,
                    more);
    return r->s->n ? OK : fail(ERR_DATA, "sample.prompts: %s: holds no prompts", r->file);
}

void samples_ask(RunConfig *cfg)
{
    bool asked = false;
    if (cfg->sample.every && cfg->sample.prompts && painter_asked(cfg->sample.prompts, ROWS_LINES, &asked) == OK)
        cfg->draws = asked;
}

Status samples_load(Samples *s, const RunConfig *cfg, const ModelSizes *sizes, const Preprocessor *preprocessor)
{
    *s = (Samples){0};
    if (!cfg->sample.every)
        return OK;
    Reader r = {.s = s, .file = cfg->sample.prompts, .cfg = cfg, .absent = painter_absent(cfg), .encoder = plan_encoder(cfg, sizes),
                .preprocessor = cfg->model.vision.path ? preprocessor : NULL};
    file_folder(s->folder, r.file);
    Status status = read_file(&r, cfg);
    tokenizer_close(&r.tokenizer);
    return status;
}

void samples_free(Samples *s)
{
    for (int i = 0; i < s->n; i++) {
        SamplePrompt *p = &s->list[i];
        for (int k = 0; k < p->n_images; k++)
            mem_free(p->images[k]);
        mem_free(p->images);
        mem_free(p->pixels);
        mem_free(p->source);
        mem_free(p->text);
        mem_free(p->expected);
        encoded_free(&p->encoded);
    }
    mem_free(s->list);
    *s = (Samples){0};
}

/* ---------------------------------------------------------------- memory */

static int64_t longest_prompt(const Samples *s)
{
    int64_t longest = 0;
    for (int i = 0; i < s->n; i++)
        longest = s->list[i].encoded.expanded > longest ? s->list[i].encoded.expanded : longest;
    return longest;
}

static bool any_drawn(const Samples *s)
{
    for (int i = 0; i < s->n; i++)
        if (s->list[i].task != TASK_UNDERSTAND)
            return true;
    return false;
}

/* As the answerer runs it: the visual output tokens behind the prompt. */
static Status measure_context(Decoder *d, const SamplePrompt *p, const EncoderOptions *encoder)
{
    const int64_t n = p->encoded.n;
    int32_t *ids = mem_alloc((size_t)(n + encoder->n_visual) * sizeof *ids);
    if (!ids)
        return fail(ERR_NOMEM, "no memory for the prompts to sample");
    memcpy(ids, p->encoded.id, (size_t)n * sizeof *ids);
    for (int32_t i = 0; i < encoder->n_visual; i++)
        ids[n + i] = encoder_visual_id(encoder, i);
    Status s = p->n_images ? decoder_look(d, p->pixels, p->n_images) : OK;
    if (!s)
        s = decoder_context(d, ids, n + encoder->n_visual, p->n_images, NULL);
    mem_free(ids);
    return s;
}

static Status measure_answers(const Samples *s, Decoder *d, const EncoderOptions *encoder)
{
    bool asks = false;
    for (int i = 0; i < s->n; i++) {
        const SamplePrompt *p = &s->list[i];
        if (p->task != TASK_UNDERSTAND) {
            TRY(measure_context(d, p, encoder));
            continue;
        }
        asks = true;
        if (p->n_images)
            TRY(decoder_look(d, p->pixels, p->n_images));
        TRY(decoder_prompt(d, 0, p->encoded.id, p->encoded.n, p->n_images));
    }
    return asks ? decoder_step(d, &(int32_t){0}) : OK; /* calls what a prompt does not: the device may lack it */
}

Status samples_memory(const Samples *s, GenLlava *g, const RunConfig *cfg, Backend *null, int64_t *n_bytes, int64_t *host)
{
    const EncoderOptions encoder = plan_encoder(cfg, genllava_model_sizes(g));
    Decoder *d = NULL;
    size_t drawer = 0, drawer_host = 0;
    *n_bytes = *host = 0;
    if (!s->n)
        return OK;
    Status status = decoder_create(&d, g, 1, longest_prompt(s) + ANSWER_TOKENS + (cfg->model.diffusion.path ? encoder.n_visual : 0));
    if (status == OK)
        status = measure_answers(s, d, &encoder);
    if (status == OK)
        *n_bytes = (int64_t)decoder_bytes(d);
    decoder_free(&d);
    if (status == OK && any_drawn(s))
        status = drawer_measure(&drawer, &drawer_host, g, cfg, null);
    *n_bytes += (int64_t)drawer;
    *host = (int64_t)drawer_host;
    return status;
}
