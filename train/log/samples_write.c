/* samples_write.c: answers and pictures of the prompts of sample.prompts while a run trains, and the sheets of them (samples.h). Called by
 * the loop. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/formats/file.h"
#include "data/formats/json_write.h"
#include "data/pictures/png_write.h"
#include "data/pictures/sheet.h"
#include "kernels/base/arena.h"
#include "train/dist/signals.h"
#include "train/infer/painter.h"
#include "train/log/samples.h"

static const char *stopped(void) { return signals_name(signals_received()); }

/* "000003.png", of the prompt with this number: as `generate --batch` names it. */
static char *picture_name(char name[32], int i)
{
    snprintf(name, 32, "%06d.png", i);
    return name;
}

static bool is_drawn(const SamplePrompt *p) { return p->task != TASK_UNDERSTAND; }

static int count_drawn(const Samples *s)
{
    int n = 0;
    for (int i = 0; i < s->n; i++)
        n += is_drawn(&s->list[i]);
    return n;
}

/* ---------------------------------------------------------------- one step */

/* The folder that is being filled. */
typedef struct Filling {
    const Samples *samples;
    Answerer *answerer;
    Painter *painter; /* NULL: no prompt draws */
    const RunConfig *cfg;
    const char *folder;
    FILE *answers;
    Image sheet;     /* of the step … */
    int32_t columns; /* … and its pictures in a row */
    int n_drawn;     /* of them on the sheet */
} Filling;

/* As the prompt wrote it: nothing, a path, or a list. */
static void add_images(const SamplePrompt *p, cJSON *line)
{
    if (p->n_images == 1)
        json_add_text(line, "image", p->images[0]);
    if (p->n_images > 1)
        json_add_texts(line, "image", p->images, p->n_images);
}

static Status put_line(const Filling *f, const SamplePrompt *p, RecordText answer, const char *picture)
{
    cJSON *line = cJSON_CreateObject();
    json_add_bytes(line, p->key, p->text, p->n_text);
    add_images(p, line);
    if (p->expected)
        json_add_bytes(line, "expected", p->expected, p->n_expected);
    json_add_bytes(line, "answer", answer.text, answer.length);
    if (picture)
        json_add_text(line, "picture", picture);
    return json_print(f->answers, &line, JSON_LINE, f->folder);
}

static Status answer(const Filling *f, const SamplePrompt *p, const Question *q)
{
    const Sampling how = {.top_p = 1, .max_new_tokens = ANSWER_TOKENS, .stopped = stopped};
    char *text;
    size_t n;
    TRY(answerer_ask(f->answerer, q, &how, NULL, &text, &n));
    Status s = put_line(f, p, (RecordText){text, n}, NULL);
    mem_free(text);
    return s;
}

static Status draw(Filling *f, const SamplePrompt *p, const Question *q)
{
    static const RecordText DRAWN = {GEN_MARKER, sizeof GEN_MARKER - 1};
    char name[32], path[PATH_MAX];
    const Picture what = {
        .task = p->task, .prompt = {p->text, p->n_text}, .question = q, .pixels = p->source, .seed = DRAW_DEFAULTS.seed, .index = q->index};
    Image picture;
    TRY(painter_draw(f->painter, &what, &picture));
    picture_name(name, (int)q->index);
    Status s = painter_save(f->painter, &what, &picture, file_join(path, f->folder, name));
    if (!s)
        sheet_put(&f->sheet, f->n_drawn / f->columns, f->n_drawn % f->columns, &picture);
    f->n_drawn++;
    image_free(&picture);
    return s ? s : put_line(f, p, DRAWN, name);
}

static Status answer_all(Filling *f)
{
    const Samples *s = f->samples;
    FileDraft d;
    char path[PATH_MAX];
    TRY(file_draft(&d, file_join(path, f->folder, "answers.jsonl")));
    f->answers = d.out;
    Status status = OK;
    for (int i = 0; i < s->n && status == OK; i++) {
        const SamplePrompt *p = &s->list[i];
        const RecordTurn turn = {.human = true, .text = p->text, .length = p->n_text};
        const Question q = {.turns = &turn, .n_turns = 1, .n_images = p->n_images, .pixels = p->pixels, .index = (uint64_t)i};
        status = is_drawn(p) ? draw(f, p, &q) : answer(f, p, &q);
    }
    return file_publish(&d, status);
}

/* Opens what draws, and the sheet. checkpoint: room for what pictures call it. */
static Status open_painter(Filling *f, int64_t step, char checkpoint[PATH_MAX])
{
    const int32_t n = count_drawn(f->samples), side = (int32_t)f->cfg->model.diffusion.size;
    DrawOptions how = DRAW_DEFAULTS;
    how.stopped = stopped;
    if (!n)
        return OK;
    snprintf(checkpoint, PATH_MAX, "%s/checkpoint-%06lld", f->cfg->name, (long long)step);
    f->columns = sheet_columns(n);
    TRY(sheet_create(&f->sheet, (n + f->columns - 1) / f->columns, f->columns, side, side));
    return painter_open(&f->painter, f->answerer, f->cfg, &how, checkpoint);
}

static Status fill(Filling *f, int64_t step)
{
    char checkpoint[PATH_MAX], path[PATH_MAX];
    Status s = open_painter(f, step, checkpoint);
    if (!s)
        s = answer_all(f);
    if (!s && f->painter)
        s = png_write(file_join(path, f->folder, "sheet.png"), &f->sheet, NULL, 0);
    painter_close(&f->painter);
    image_free(&f->sheet);
    return s;
}

/* ---------------------------------------------------------------- all steps */

/* The steps that have a folder, up to the present one, in order. */
typedef struct Steps {
    int64_t step[SHEET_STEPS]; /* the newest */
    int n;
    int64_t last;
} Steps;

static Status note_step(void *arg, const char *name)
{
    Steps *all = arg;
    char *end;
    if (strncmp(name, "step-", 5))
        return OK;
    int64_t step = strtoll(name + 5, &end, 10);
    if (*end || step <= 0 || step >= all->last)
        return OK;
    int at = all->n;
    while (at && all->step[at - 1] > step) /* names are sorted, and 1000000 stands before 999999 */
        at--;
    if (all->n == SHEET_STEPS - 1) { /* one place is the present step's */
        if (!at--)
            return OK;
        memmove(all->step, all->step + 1, (size_t)at * sizeof *all->step);
    } else {
        memmove(all->step + at + 1, all->step + at, (size_t)(all->n++ - at) * sizeof *all->step);
    }
    all->step[at] = step;
    return OK;
}

static char *step_folder(char path[PATH_MAX], const char *run_folder, int64_t step)
{
    char name[64];
    snprintf(name, sizeof name, "samples/step-%06lld", (long long)step);
    return file_join(path, run_folder, name);
}

/* A picture of an earlier or the present step, reduced; one that is not there or is damaged stays white. */
static Status put_picture(Image *sheet, int32_t row, int32_t column, const char *path, int32_t side)
{
    enum { MOST = 1 << 28 };
    char *bytes;
    size_t n;
    Image picture, small;
    Reject reject;
    if (!file_exists(path) || file_read(&bytes, &n, path, MOST))
        return OK;
    Status s = image_decode(&picture, (const uint8_t *)bytes, n, IMAGE_MAX_PIXELS, &reject);
    mem_free(bytes);
    if (s)
        return s == ERR_NOMEM ? s : OK;
    s = image_resize(&small, &picture, side, side, FILTER_BILINEAR);
    if (!s)
        sheet_put(sheet, row, column, &small);
    image_free(&small);
    image_free(&picture);
    return s;
}

/* A row a step; hidden: the folder of the present one. */
static Status write_sheet(const Filling *f, const char *run_folder, int64_t step)
{
    const int32_t size = (int32_t)f->cfg->model.diffusion.size, side = size < SHEET_SIDE ? size : SHEET_SIDE;
    Steps all = {.last = step};
    char path[PATH_MAX], folder[PATH_MAX], name[32];
    Image sheet;
    TRY(file_list(file_join(path, run_folder, "samples"), note_step, &all));
    all.step[all.n++] = step;
    TRY(sheet_create(&sheet, all.n, count_drawn(f->samples), side, side));
    Status s = OK;
    for (int row = 0; row < all.n; row++) {
        if (all.step[row] == step)
            snprintf(folder, sizeof folder, "%s", f->folder);
        else
            step_folder(folder, run_folder, all.step[row]);
        for (int i = 0, column = 0; i < f->samples->n && !s; i++)
            if (is_drawn(&f->samples->list[i]))
                s = put_picture(&sheet, row, column++, file_join(path, folder, picture_name(name, i)), side);
    }
    if (!s)
        s = png_write(file_join(path, run_folder, "samples/sheet.png"), &sheet, NULL, 0);
    image_free(&sheet);
    return s;
}

Status samples_write(const Samples *s, Answerer *a, const RunConfig *cfg, const char *run_folder, int64_t step)
{
    char hidden[PATH_MAX], final[PATH_MAX], file[PATH_MAX];
    TRY(file_make_own_folder(file_join(file, run_folder, "samples")));
    step_folder(final, run_folder, step);
    file_join(hidden, run_folder, "samples/.new"); /* one that was begun and not finished is overwritten */
    TRY(file_stage_folder(hidden));
    Filling f = {.samples = s, .answerer = a, .cfg = cfg, .folder = hidden};
    Status status = fill(&f, step);
    if (status == OK && count_drawn(s))
        status = write_sheet(&f, run_folder, step);
    status = fail_context(status, "samples after step %lld", (long long)step);
    if (status == OK)
        status = file_publish_folder(hidden, final);
    return status == OK ? OK : file_discard_folder(hidden, status);
}

bool samples_written(const char *run_folder, int64_t step)
{
    char path[PATH_MAX];
    return file_exists(step_folder(path, run_folder, step));
}

Status samples_log(const Samples *s, RunLog *log, const char *run_folder, int64_t step)
{
    char folder[PATH_MAX], path[PATH_MAX], name[32], tag[64];
    step_folder(folder, run_folder, step);
    for (int i = 0; i < s->n; i++) {
        if (!is_drawn(&s->list[i]))
            continue;
        snprintf(tag, sizeof tag, "samples/%06d", i);
        TRY(runlog_picture(log, step, tag, file_join(path, folder, picture_name(name, i))));
    }
    return OK;
}
