/* prompts.c: counts the prompts that are too long (prompts.h). */
#include "train/prompts.h"

#include <stdio.h>
#include <string.h>

#include "data/formats/file.h"
#include "data/text/clip_tokenizer.h"
#include "kernels/base/log.h"
#include "kernels/base/utf8.h"

typedef struct Count {
    const RunConfig *cfg;
    ClipTokenizer *tokenizer; /* NULL: not needed so far */
    int32_t length, longest;  /* of those that are too long */
    int64_t rows, cut;
    const IndexRow *last, *last_cut;
    uint32_t first; /* row of the mixture */
    char example[256];
} Count;

/* A token has one byte of the text at least; normalising may lengthen what is not ASCII. */
static bool is_surely_short(const char *prompt, int32_t length)
{
    size_t n = 0;
    while (prompt[n] && !(prompt[n] & 0x80))
        n++;
    return !prompt[n] && n + 2 <= (size_t)length;
}

static Status count_prompt(void *arg, const IndexRow *row, const char *prompt)
{
    enum { SHOWN = 60 };
    Count *c = arg;
    char folder[PATH_MAX];
    int32_t n;
    if ((row->task == TASK_EDIT ? c->cfg->loss.edit : c->cfg->loss.generate) == IMAGE_LOSS_NOISE)
        return OK;
    c->rows += row != c->last;
    c->last = row;
    if (is_surely_short(prompt, c->length))
        return OK;
    if (!c->tokenizer)
        TRY(clip_tokenizer_open(&c->tokenizer, file_join(folder, c->cfg->model.diffusion.path, "tokenizer")));
    TRY(clip_token_count(c->tokenizer, prompt, &n));
    if (n <= c->length)
        return OK;
    if (!c->cut) {
        size_t bytes = strlen(prompt);
        c->first = row->record;
        utf8_show(c->example, sizeof c->example, prompt, utf8_whole(prompt, bytes < SHOWN ? bytes : SHOWN), UTF8_LINE);
        if (bytes > SHOWN)
            snprintf(c->example + strlen(c->example), sizeof c->example - strlen(c->example), "…");
    }
    c->cut += row != c->last_cut;
    c->last_cut = row;
    c->longest = n > c->longest ? n : c->longest;
    return OK;
}

Status prompts_say_cut(const Loader *ld, const RunConfig *cfg, int32_t length)
{
    char folder[PATH_MAX];
    Count c = {.cfg = cfg, .length = length};
    if (!file_exists(file_join(folder, cfg->model.diffusion.path, "tokenizer")))
        return OK;
    Status s = loader_prompts(ld, count_prompt, &c);
    clip_tokenizer_close(&c.tokenizer);
    if (!s && c.cut)
        log_warn("%lld of %lld rows have prompts of more than the %d tokens, start and end included, that the text encoder of %s takes: "
                 "what is beyond is not seen. The longest has %d; the first is row %u of the mixture: \"%s\"", (long long)c.cut,
                 (long long)c.rows, c.length, cfg->model.diffusion.path, c.longest, c.first, c.example);
    return s;
}
