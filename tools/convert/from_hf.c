/* from_hf.c: whole models: a language model or a LLaVA of transformers, or a merged one in LLaVA's own layout. A folder with config.json
 * and weights. Called by model.c. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "data/formats/file.h"
#include "data/text/added_tokens.h"
#include "data/text/tokenizer.h"
#include "kernels/base/arena.h"
#include "kernels/base/log.h"
#include "tools/convert/chat_template.h"
#include "tools/convert/foreign.h"
#include "tools/convert/from.h"
#include "tools/convert/llava_settings.h"

bool from_hf_fits(const char *folder)
{
    char path[PATH_MAX];
    return file_exists(file_join(path, folder, "config.json"));
}

/* ---------------------------------------------------------------- added tokens */

/* The tokens behind the base's rows, in order of ids V, V+1, …: task tokens, then [IMG0] …. */
typedef struct OurTokens {
    AddedTokens all;
    int first, n, n_image; /* of all.item; n 0: it has none of ours */
} OurTokens;

static const char *const TASK_TOKENS[] = {"[I2T]", "[T2I]", "[I2I]"};
static const char *const TASK_KEYS[] = {"understand", "generate", "edit"};
enum { N_TASK_TOKENS = 3 };

static int task_of(const char *text)
{
    for (int i = 0; i < N_TASK_TOKENS; i++)
        if (!strcmp(text, TASK_TOKENS[i]))
            return i;
    return -1;
}

/* [IMG0] … and what stands before them; without them the task tokens by their usual names. */
static void find_ours(OurTokens *t)
{
    const AddedToken *item = t->all.item;
    int zero = -1;
    for (int i = 0; i < t->all.n && zero < 0; i++)
        zero = strcmp(item[i].text, "[IMG0]") ? -1 : i;
    char text[32];
    for (int i = zero; zero >= 0 && i < t->all.n; i++, t->n_image++) {
        snprintf(text, sizeof text, "[IMG%d]", i - zero);
        if (strcmp(item[i].text, text) || item[i].id != item[zero].id + i - zero)
            break;
    }
    int end = zero >= 0 ? zero : t->all.n;
    if (zero < 0) /* behind the last task token there may be <image> and <pad> */
        while (end > 0 && task_of(item[end - 1].text) < 0)
            end--;
    t->first = end;
    while (t->first > 0 && end - t->first < N_TASK_TOKENS && task_of(item[t->first - 1].text) >= 0 &&
           (t->first == t->all.n || item[t->first - 1].id + 1 == item[t->first].id || t->first == end))
        t->first--;
    t->n = end - t->first + t->n_image;
}

/* ---------------------------------------------------------------- settings */

enum { SETS_MAX = 16, SET_BYTES = PATH_MAX + 64 };
typedef struct Sets {
    char text[SETS_MAX][SET_BYTES];
    const char *list[SETS_MAX];
    int n;
} Sets;

static void set(Sets *s, const char *format, ...) PRINTF_LIKE(2, 3);
static void set(Sets *s, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(s->text[s->n], SET_BYTES, format, args);
    va_end(args);
    s->list[s->n] = s->text[s->n];
    s->n++;
}

static void set_tokens(Sets *s, const OurTokens *t)
{
    char task[160] = "{";
    size_t at = 1;
    const int n_tasks = t->n - t->n_image;
    for (int i = 0; i < N_TASK_TOKENS; i++) {
        bool has = false;
        for (int k = 0; k < n_tasks; k++)
            has |= task_of(t->all.item[t->first + k].text) == i;
        at += (size_t)snprintf(task + at, sizeof task - at, "%s\"%s\":%s%s%s", i ? "," : "", TASK_KEYS[i], has ? "\"" : "",
                               has ? TASK_TOKENS[i] : "null", has ? "\"" : "");
    }
    set(s, "model.tokens.image=%d", t->n_image);
    set(s, "model.tokens.task=%s%s", n_tasks ? task : "null", n_tasks ? "}" : "");
}

static void set_vision(Sets *s, const LlavaSettings *v)
{
    set(s, "model.vision.path=%s", v->tower);
    set(s, "model.vision.layer=%" PRId64, v->layer);
    set(s, "model.vision.aspect=%s", v->pad ? "pad" : "stretch");
    set(s, "model.projector.type=%s", v->projector);
}

/* A chat template that this program has made tells how conversations become text. Without one a Llama is taken to be tuned as Vicuna is,
 * which LLaVA-1.5 is made of. */
static Status find_template(Model *m, const char *folder)
{
    static const TemplateChoice CHOICES[] = {[CHAT_MISTRAL_INSTRUCT] = TEMPLATE_MISTRAL_INSTRUCT,
                                             [CHAT_V1] = TEMPLATE_V1,
                                             [CHAT_LLAVA_LLAMA_2] = TEMPLATE_LLAVA_LLAMA_2,
                                             [CHAT_PLAIN] = TEMPLATE_PLAIN};
    char *text;
    ChatTemplate chat = strcmp(m->llm->type, "llama") ? CHAT_MISTRAL_INSTRUCT : CHAT_V1, ours;
    TRY(chat_template_read(&text, folder));
    if (text && chat_template_is_ours(&ours, text))
        chat = ours;
    mem_free(text);
    m->cfg.data.template_ = CHOICES[chat];
    return OK;
}

/* ---------------------------------------------------------------- weights */

/* Rows V … V+R-1 of a table become the block `rows`. */
static Status copy_rows(Model *m, const char *table, const char *rows)
{
    const Stored *t = stored_find(&m->tensors, table);
    const int64_t end = m->vocab + m->n_added;
    if (!t)
        return fail(ERR_DATA, "%s: there is no %s", m->path, table);
    if (t->n_dims != 2 || t->shape[0] < end)
        return fail(ERR_DATA, "%s: %s has fewer rows than the %" PRId64 " tokens of its folder", t->file, t->theirs, end);
    Stored added = *t;
    added.name = rows;
    added.shape[0] = m->n_added;
    added.at += m->vocab;
    if (t->data)
        added.data = (const char *)t->data + (size_t)(m->vocab * stored_row(t)) * dtype_size(t->type);
    TRY(stored_add(&m->tensors, &added));
    return stored_sort(&m->tensors);
}

/* Rows behind those of the base are left out of its tables. */
static Status split_tables(Model *m)
{
    static const char EMBED[] = "model.embed_tokens.weight", HEAD[] = "lm_head.weight";
    TRY(stored_sort(&m->tensors));
    TRY(copy_rows(m, EMBED, "token_rows.embed_tokens"));
    TRY(copy_rows(m, m->llm->tied ? EMBED : HEAD, "token_rows.lm_head"));
    for (int i = 0; i < m->tensors.n; i++)
        if (!strcmp(m->tensors.list[i].name, EMBED) || !strcmp(m->tensors.list[i].name, HEAD))
            m->tensors.list[i].shape[0] = m->vocab;
    return OK;
}

/* The tower's weights lie in the model's files or, in LLaVA's own layout, in the tower's folder. */
static Status add_tower(Model *m, const char *folder, const LlavaSettings *v)
{
    for (int i = 0; i < m->tensors.n; i++)
        if (!strncmp(m->tensors.list[i].name, "vision_model.", strlen("vision_model.")))
            return OK;
    return v->has_tower && strcmp(v->tower, folder) ? foreign_add(m, v->tower, "model", "pytorch_model") : OK;
}

/* Added tokens behind the pieces that are neither ours nor an export's. Their rows stay where they are. */
static void tell_strangers(const OurTokens *t, int32_t n_pieces)
{
    const AddedToken *first = NULL;
    int n = 0;
    for (int i = 0; i < t->all.n; i++) {
        const AddedToken *a = &t->all.item[i];
        const bool ours = i >= t->first && i < t->first + t->n;
        if (ours || a->id < n_pieces || !strcmp(a->text, "<image>") || !strcmp(a->text, "<pad>"))
            continue;
        first = n++ ? first : a;
    }
    if (n)
        log_warn("\"%s\" (id %" PRId32 ")%s is no task token ([I2T], [T2I], [I2I]) or visual token ([IMG0] …) by its name: "
                 "its row stays, but no prompt here will hold it",
                 first->text, first->id, n > 1 ? ", like others of the added tokens," : "");
}

/* t: told about; may be NULL. */
static Status check_vocabulary(const Model *m, const char *folder, const OurTokens *t)
{
    char path[PATH_MAX];
    Tokenizer *tokenizer;
    TRY(tokenizer_open(&tokenizer, file_join(path, folder, "tokenizer.model")));
    const int32_t n = tokenizer_info(tokenizer)->n_pieces;
    tokenizer_close(&tokenizer);
    if (t)
        tell_strangers(t, n);
    return n <= m->vocab ? OK
                         : fail(ERR_DATA, "%s: has %d pieces, but the model %" PRId64 " rows before its added tokens (vocab_size)", path, n,
                                m->vocab);
}

/* own: the tokens lie behind the rows of the folder's own base; else they are an adapter's, as is what `more` has. */
static Status open_with(Model *m, const char *folder, const OurTokens *t, bool own, const HfMore *more)
{
    const char *llava = more->llava ? more->llava : folder;
    Sets sets = {.n = 0};
    LlavaSettings v;
    TRY(llava_settings_read(&v, llava));
    if (more->llava && !v.has_tower)
        return fail(ERR_DATA, "%s: holds non_lora_trainables, but its config.json names no mm_vision_tower", llava);
    set(&sets, "model.llm.path=%s", folder);
    if (!more->n_sets)
        set(&sets, "model.llm.train=frozen");
    set(&sets, "data.mixture=mixture.json");
    set_tokens(&sets, t);
    if (v.has_tower)
        set_vision(&sets, &v);
    for (int i = 0; i < more->n_sets; i++)
        set(&sets, "%s", more->sets[i]);
    TRY(model_settings(m, sets.list, sets.n));
    TRY(model_read_settings(m));
    TRY(find_template(m, folder));
    if (own && t->n) {
        for (int i = 0; i < t->n; i++)
            TRY(model_add_token(m, t->all.item[t->first + i].text));
        m->vocab = t->all.item[t->first].id;
    }
    TRY(check_vocabulary(m, folder, own && m->options ? t : NULL)); /* what was written is read silently */
    TRY(foreign_add(m, folder, "model", "pytorch_model"));
    if (more->llava)
        TRY(foreign_add(m, llava, "non_lora_trainables", "non_lora_trainables"));
    TRY(add_tower(m, llava, &v));
    return own && t->n ? split_tables(m) : OK;
}

static Status open_whole(Model *m, const char *folder, const HfMore *more)
{
    OurTokens t = {.n = 0};
    TRY(added_tokens_read(&t.all, folder));
    find_ours(&t);
    Status s = open_with(m, folder, &t, true, more);
    added_tokens_free(&t.all);
    return s;
}

Status from_hf_base(Model *m, const char *folder, const HfMore *more)
{
    if (!more->added)
        return open_whole(m, folder, more);
    OurTokens t = {.all = *more->added};
    find_ours(&t);
    if (t.n != more->added->n) /* others' names: no run makes such tokens */
        t = (OurTokens){.all = *more->added};
    TRY(open_with(m, folder, &t, false, more));
    for (int i = 0; i < more->added->n; i++)
        TRY(model_add_token(m, more->added->item[i].text));
    return OK;
}

Status from_hf(Model *m, const char *folder, const char *base)
{
    return base ? fail(ERR_USAGE, "--base is for adapters; %s is a whole model", folder) : open_whole(m, folder, &(HfMore){0});
}
