/* samples.c: answers to the prompts of sample.prompts while a run trains (samples.h). Called by the loop. */
#include "train/log/samples.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "data/formats/file.h"
#include "data/formats/json_write.h"
#include "data/formats/rows.h"
#include "data/text/tokenizer.h"
#include "kernels/base/log.h"
#include "train/config/plan.h"
#include "train/dist/signals.h"

/* ---------------------------------------------------------------- reading */

enum { TOLD = 12, TOLD_BYTES = 300 }; /* mistakes, and bytes of each */

typedef struct Reader {
    Samples *s;
    const char *file;
    int line;
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

static Status read_prompt(const Reader *r, SamplePrompt *p, const Json *o)
{
    if (o->kind != JSON_OBJECT)
        return fail(ERR_DATA, "%s:%d: %s; a prompt is an object {\"ask\": text, \"image\": path}", r->file, r->line,
                    json_kind_name(o->kind));
    for (const Json *m = o->child; m; m = m->next) {
        if (!strcmp(m->key, "draw") || !strcmp(m->key, "edit"))
            return fail(ERR_USAGE, "%s:%d: \"%s\": this version does not draw or edit pictures yet; only \"ask\" can be sampled", r->file,
                        r->line, m->key);
        if (!strcmp(m->key, "image"))
            TRY(read_pictures(r, p, m));
        else if (strcmp(m->key, "ask") && !json_is_comment(m->key))
            return fail(ERR_DATA, "%s:%d: \"%s\" is no key of a prompt; they are \"ask\" and \"image\"", r->file, r->line, m->key);
    }
    const Json *ask = json_get(o, "ask");
    if (!ask || ask->kind != JSON_STRING)
        return fail(ERR_DATA, "%s:%d: \"ask\" is %s; it takes the text of a question", r->file, r->line,
                    ask ? json_kind_name(ask->kind) : "missing");
    p->ask = mem_alloc(ask->length + 1);
    if (!p->ask)
        return fail(ERR_NOMEM, "no memory for the prompts to sample");
    memcpy(p->ask, ask->string, p->n_ask = ask->length);
    RecordTurn turn = {.human = true, .text = p->ask, .length = p->n_ask};
    return fail_context(encode_prompt(&p->encoded, &r->encoder, r->tokenizer, (RecordText){0}, &turn, 1, p->n_images, TASK_UNDERSTAND),
                        "%s:%d", r->file, r->line);
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

Status samples_load(Samples *s, const RunConfig *cfg, const ModelSizes *sizes, const Preprocessor *preprocessor)
{
    *s = (Samples){0};
    if (!cfg->sample.every)
        return OK;
    Reader r = {.s = s, .file = cfg->sample.prompts, .encoder = plan_encoder(cfg, sizes),
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
        mem_free(p->ask);
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

Status samples_memory(const Samples *s, GenLlava *g, int64_t *n_bytes)
{
    Decoder *d = NULL;
    *n_bytes = 0;
    if (!s->n)
        return OK;
    Status status = decoder_create(&d, g, longest_prompt(s) + ANSWER_TOKENS);
    for (int i = 0; i < s->n && status == OK; i++)
        status = decoder_prompt(d, s->list[i].encoded.id, s->list[i].encoded.n, s->list[i].pixels, s->list[i].n_images);
    if (status == OK) /* calls what a prompt does not: the device may lack it */
        status = decoder_step(d, 0);
    if (status == OK)
        *n_bytes = (int64_t)decoder_bytes(d);
    decoder_free(&d);
    return status;
}

/* ---------------------------------------------------------------- answering */

/* As the prompt wrote it: nothing, a path, or a list. */
static void add_images(const SamplePrompt *p, cJSON *line)
{
    if (p->n_images == 1)
        json_add_text(line, "image", p->images[0]);
    if (p->n_images > 1)
        json_add_texts(line, "image", p->images, p->n_images);
}

static const char *stopped(void) { return signals_name(signals_received()); }

static Status answer(Answerer *a, const SamplePrompt *p, FILE *out, const char *path)
{
    RecordTurn turn = {.human = true, .text = p->ask, .length = p->n_ask};
    Question q = {.turns = &turn, .n_turns = 1, .n_images = p->n_images, .pixels = p->pixels};
    Sampling how = {.top_p = 1, .max_new_tokens = ANSWER_TOKENS, .stopped = stopped};
    char *text;
    size_t n;
    TRY(answerer_ask(a, &q, &how, NULL, &text, &n));
    cJSON *line = cJSON_CreateObject();
    json_add_bytes(line, "ask", p->ask, p->n_ask);
    add_images(p, line);
    json_add_bytes(line, "answer", text, n);
    mem_free(text);
    return json_print(out, &line, JSON_LINE, path);
}

/* All answers, a line each. */
static Status answer_all(const Samples *s, Answerer *a, const char *path)
{
    FileDraft d;
    TRY(file_draft(&d, path));
    Status status = OK;
    for (int i = 0; i < s->n && status == OK; i++)
        status = answer(a, &s->list[i], d.out, path);
    return file_publish(&d, status);
}

static char *step_folder(char path[PATH_MAX], const char *run_folder, int64_t step)
{
    char name[64];
    snprintf(name, sizeof name, "samples/step-%06lld", (long long)step);
    return file_join(path, run_folder, name);
}

Status samples_write(const Samples *s, Answerer *a, const char *run_folder, int64_t step)
{
    char hidden[PATH_MAX], final[PATH_MAX], file[PATH_MAX];
    TRY(file_make_own_folder(file_join(file, run_folder, "samples")));
    step_folder(final, run_folder, step);
    file_join(hidden, run_folder, "samples/.new"); /* one that was begun and not finished is overwritten */
    TRY(file_stage_folder(hidden));
    Status status = fail_context(answer_all(s, a, file_join(file, hidden, "answers.jsonl")), "samples after step %lld", (long long)step);
    if (status == OK)
        status = file_publish_folder(hidden, final);
    return status == OK ? OK : file_discard_folder(hidden, status);
}

bool samples_written(const char *run_folder, int64_t step)
{
    char path[PATH_MAX];
    return file_exists(step_folder(path, run_folder, step));
}
