/* tokenizer_files.c: writes the files that transformers reads a tokenizer from (tokenizer_files.h). Called by the writers of folders. */
#include "tools/convert/tokenizer_files.h"

#include <stdlib.h>
#include <string.h>

#include "data/formats/file.h"
#include "data/formats/json_write.h"
#include "kernels/base/arena.h"
#include "kernels/base/log.h"
#include "tools/convert/chat_template.h"
#include "tools/convert/vocabulary.h"

static const char SPACE_MARK[] = "\u2581";

/* ---------------------------------------------------------------- merges */

/* Two normal pieces that make a third. */
typedef struct Merge {
    float score; /* of the piece made */
    int32_t made, left, right;
    uint32_t left_bytes;
} Merge;

typedef struct Merges {
    Merge *item;
    size_t n, capacity;
} Merges;

/* SentencePiece merges the pair of the highest score, the leftmost of equals. A rank for each pair says the same where no two pieces
 * have one score. Runs of spaces do in Mistral's vocabulary; from the left they grow as long as they can, so the longer left part goes
 * first. */
static int compare_merges(const void *a, const void *b)
{
    const Merge *x = a, *y = b;
    if (x->score != y->score)
        return x->score > y->score ? -1 : 1;
    if (x->left_bytes != y->left_bytes)
        return x->left_bytes > y->left_bytes ? -1 : 1;
    return x->left != y->left ? (x->left > y->left) - (x->left < y->left) : (x->right > y->right) - (x->right < y->right);
}

static int32_t find_normal(const Tokenizer *t, const char *text, size_t n)
{
    const int32_t id = tokenizer_find(t, text, n);
    return id >= 0 && tokenizer_kind(t, id) == PIECE_NORMAL ? id : -1;
}

static Status add_merge(Merges *m, Merge merge)
{
    if (m->n == m->capacity) {
        size_t capacity = m->capacity ? 2 * m->capacity : 1 << 12;
        Merge *more = mem_grow(m->item, capacity * sizeof *more);
        if (!more)
            return fail(ERR_NOMEM, "no memory for %zu merges of a tokenizer", capacity);
        m->item = more;
        m->capacity = capacity;
    }
    m->item[m->n++] = merge;
    return OK;
}

static bool is_run_of_spaces(const char *piece)
{
    while (!strncmp(piece, SPACE_MARK, sizeof SPACE_MARK - 1))
        piece += sizeof SPACE_MARK - 1;
    return !*piece;
}

/* Pieces of one score that are no runs of spaces: their order is a guess. */
static void warn_of_ties(const Merges *m, const Vocabulary *v)
{
    for (size_t i = 1; i < m->n; i++) {
        const Merge *x = &m->item[i - 1], *y = &m->item[i];
        if (x->score != y->score || x->made == y->made || (is_run_of_spaces(v->token[x->made]) && is_run_of_spaces(v->token[y->made])))
            continue;
        log_warn("%s: pieces %d and %d have one score: SentencePiece takes the leftmost of such, transformers one of them "
                 "everywhere, so that ids may differ",
                 v->path, x->made, y->made);
        return;
    }
}

static Status find_merges(Merges *m, const Vocabulary *v)
{
    for (int32_t id = 0; id < v->n_pieces; id++) {
        const char *piece = v->token[id];
        const size_t n = strlen(piece);
        if (v->kind[id] != PIECE_NORMAL || strchr(piece, ' ')) /* no text has a space that is not marked */
            continue;
        for (size_t cut = 1; cut < n; cut++) {
            const int32_t left = find_normal(v->tokenizer, piece, cut);
            const int32_t right = left < 0 ? -1 : find_normal(v->tokenizer, piece + cut, n - cut);
            if (right >= 0)
                TRY(add_merge(m, (Merge){v->score[id], id, left, right, (uint32_t)cut}));
        }
    }
    if (m->n)
        qsort(m->item, m->n, sizeof *m->item, compare_merges);
    warn_of_ties(m, v);
    return OK;
}

/* ---------------------------------------------------------------- tokenizer.json */

static cJSON *add_object(cJSON *to, const char *key, const char *type)
{
    cJSON *o = json_add(to, key, cJSON_CreateObject());
    if (type)
        json_add_text(o, "type", type);
    return o;
}

static cJSON *add_array(cJSON *to, const char *key) { return json_add(to, key, cJSON_CreateArray()); }

static void add_bool(cJSON *to, const char *key, bool value) { json_add(to, key, cJSON_CreateBool(value)); }

static void add_null(cJSON *to, const char *key) { json_add(to, key, cJSON_CreateNull()); }

static void add_replace(cJSON *to, const char *pattern, const char *content)
{
    cJSON *o = add_object(to, NULL, "Replace");
    json_add_text(add_object(o, "pattern", NULL), "String", pattern);
    json_add_text(o, "content", content);
}

/* What is true of a token that is found whole in texts. */
static void add_token_facts(cJSON *o, const char *text, bool strips)
{
    json_add_text(o, "content", text);
    add_bool(o, "single_word", false);
    add_bool(o, "lstrip", strips);
    add_bool(o, "rstrip", strips);
    add_bool(o, "normalized", false);
    add_bool(o, "special", true);
}

/* <unk>, <s>, </s> and the added tokens, each once. strips: whether blanks beside the token vanish. */
typedef void (*TokenVisit)(cJSON *to, int32_t id, const char *text, bool strips);
static void visit_tokens(const TokenizerFiles *x, const Vocabulary *v, TokenVisit visit, cJSON *to)
{
    for (int32_t id = 0; id < v->n_pieces; id++)
        if (id == v->info.unk || id == v->info.bos || id == v->info.eos)
            visit(to, id, v->token[id], false);
    for (int32_t id = v->n_rows; id < v->n; id++)
        visit(to, id, v->token[id], id < v->n_rows + x->n_added);
}

static void list_token(cJSON *to, int32_t id, const char *text, bool strips)
{
    cJSON *o = add_object(to, NULL, NULL);
    json_add_int(o, "id", id);
    add_token_facts(o, text, strips);
}

static void decode_token(cJSON *to, int32_t id, const char *text, bool strips)
{
    char key[16];
    snprintf(key, sizeof key, "%d", id);
    add_token_facts(add_object(to, key, NULL), text, strips);
}

/* Before pieces are looked for in a text between two added tokens. */
static void add_normalizer(cJSON *to, const TokenizerFiles *x, const Vocabulary *v)
{
    cJSON *list = add_array(add_object(to, "normalizer", "Sequence"), "normalizers");
    if (v->info.dummy_prefix)
        json_add_text(add_object(list, NULL, "Prepend"), "prepend", SPACE_MARK);
    add_replace(list, " ", SPACE_MARK);
    if (x->n_added)
        add_replace(list, CHAT_TEMPLATE_LINE_BREAK, "\n");
}

static void add_template_part(cJSON *to, const char *kind, const char *id, int type_id)
{
    cJSON *o = add_object(add_object(to, NULL, NULL), kind, NULL);
    json_add_text(o, "id", id);
    json_add_int(o, "type_id", type_id);
}

/* BOS before a text, and before each of two. */
static void add_post_processor(cJSON *to, const Vocabulary *v)
{
    const char *bos = v->token[v->info.bos];
    cJSON *o = add_object(to, "post_processor", "TemplateProcessing");
    cJSON *one = add_array(o, "single"), *two = add_array(o, "pair");
    add_template_part(one, "SpecialToken", bos, 0);
    add_template_part(one, "Sequence", "A", 0);
    add_template_part(two, "SpecialToken", bos, 0);
    add_template_part(two, "Sequence", "A", 0);
    add_template_part(two, "SpecialToken", bos, 1);
    add_template_part(two, "Sequence", "B", 1);
    cJSON *special = add_object(add_object(o, "special_tokens", NULL), bos, NULL);
    json_add_text(special, "id", bos);
    json_add_int(add_array(special, "ids"), NULL, v->info.bos);
    json_add_text(add_array(special, "tokens"), NULL, bos);
}

static void add_decoder(cJSON *to, const Vocabulary *v)
{
    cJSON *list = add_array(add_object(to, "decoder", "Sequence"), "decoders");
    add_replace(list, SPACE_MARK, " ");
    add_object(list, NULL, "ByteFallback");
    add_object(list, NULL, "Fuse");
    if (!v->info.dummy_prefix)
        return;
    cJSON *strip = add_object(list, NULL, "Strip");
    json_add_text(strip, "content", " ");
    json_add_int(strip, "start", 1);
    json_add_int(strip, "stop", 0);
}

static Status add_model(cJSON *to, const Vocabulary *v)
{
    static const char *const NONE[] = {"dropout", "continuing_subword_prefix", "end_of_word_suffix"};
    Merges merges = {0};
    cJSON *o = add_object(to, "model", "BPE");
    for (size_t i = 0; i < sizeof NONE / sizeof *NONE; i++)
        add_null(o, NONE[i]);
    json_add_text(o, "unk_token", v->token[v->info.unk]);
    add_bool(o, "fuse_unk", true);
    add_bool(o, "byte_fallback", true);
    add_bool(o, "ignore_merges", false);
    cJSON *vocab = add_object(o, "vocab", NULL), *list = add_array(o, "merges");
    for (int32_t id = 0; id < v->n_rows; id++)
        json_add_int(vocab, v->token[id], id);
    Status s = find_merges(&merges, v);
    for (size_t i = 0; i < merges.n && !s; i++) {
        const Merge *m = &merges.item[i];
        const size_t room = strlen(v->token[m->left]) + strlen(v->token[m->right]) + 2;
        char *text = mem_alloc(room);
        if (!text)
            s = fail(ERR_NOMEM, "no memory for %zu merges of a tokenizer", merges.n);
        else
            snprintf(text, room, "%s %s", v->token[m->left], v->token[m->right]);
        if (text)
            json_add_text(list, NULL, text);
        mem_free(text);
    }
    mem_free(merges.item);
    return s;
}

static Status make_tokenizer(cJSON **out, const TokenizerFiles *x, const Vocabulary *v)
{
    cJSON *o = *out = cJSON_CreateObject();
    json_add_text(o, "version", "1.0");
    add_null(o, "truncation");
    add_null(o, "padding");
    visit_tokens(x, v, list_token, add_array(o, "added_tokens"));
    add_normalizer(o, x, v);
    add_null(o, "pre_tokenizer");
    add_post_processor(o, v);
    add_decoder(o, v);
    return add_model(o, v);
}

/* ---------------------------------------------------------------- the smaller files */

static cJSON *make_added_tokens(const Vocabulary *v)
{
    cJSON *o = cJSON_CreateObject();
    for (int32_t id = v->n_rows; id < v->n; id++)
        json_add_int(o, v->token[id], id);
    return o;
}

/* Which token is what. A text that is shorter than its batch is padded with <unk> where the export has no token for that, as LLaVA does. */
static void add_roles(cJSON *to, const TokenizerFiles *x, const Vocabulary *v)
{
    json_add_text(to, "bos_token", v->token[v->info.bos]);
    json_add_text(to, "eos_token", v->token[v->info.eos]);
    json_add_text(to, "unk_token", v->token[v->info.unk]);
    json_add_text(to, "pad_token", x->pad ? x->pad : v->token[v->info.unk]);
    if (x->image)
        json_add_text(to, "image_token", x->image);
}

static cJSON *make_special_tokens(const TokenizerFiles *x, const Vocabulary *v)
{
    cJSON *o = cJSON_CreateObject();
    add_roles(o, x, v);
    return o;
}

static cJSON *make_config(const TokenizerFiles *x, const Vocabulary *v)
{
    cJSON *o = cJSON_CreateObject();
    /* For the model type llama, transformers 5 makes a LlamaTokenizer of its own from vocabulary and merges, whose ids differ where a text
     * begins with spaces. Other types take tokenizer.json as it is. */
    json_add_text(o, "tokenizer_class", strcmp(x->model_type, "llama") ? "LlamaTokenizer" : "PreTrainedTokenizerFast");
    add_bool(o, "legacy", true);
    add_bool(o, "add_bos_token", true);
    add_bool(o, "add_eos_token", false);
    add_bool(o, "clean_up_tokenization_spaces", false);
    json_add_int(o, "model_max_length", x->max_length);
    cJSON *inputs = add_array(o, "model_input_names");
    json_add_text(inputs, NULL, "input_ids");
    json_add_text(inputs, NULL, "attention_mask");
    add_roles(o, x, v);
    visit_tokens(x, v, decode_token, add_object(o, "added_tokens_decoder", NULL));
    return o;
}

static Status save(const char *folder, const char *name, cJSON *tree)
{
    char path[PATH_MAX];
    return json_save(file_join(path, folder, name), &tree);
}

static Status write_files(const char *folder, const TokenizerFiles *x, const Vocabulary *v)
{
    char path[PATH_MAX];
    cJSON *tokenizer;
    Status s = make_tokenizer(&tokenizer, x, v);
    if (!s)
        s = json_save(file_join(path, folder, "tokenizer.json"), &tokenizer);
    cJSON_Delete(tokenizer);
    TRY(s);
    TRY(save(folder, "added_tokens.json", make_added_tokens(v)));
    TRY(save(folder, "special_tokens_map.json", make_special_tokens(x, v)));
    TRY(save(folder, "tokenizer_config.json", make_config(x, v)));
    TRY(file_copy(x->model_path, file_join(path, folder, "tokenizer.model")));
    if (!x->chat_template)
        return OK;
    return file_save(file_join(path, folder, "chat_template.jinja"), x->chat_template, strlen(x->chat_template));
}

Status tokenizer_files_write(const char *folder, const TokenizerFiles *x)
{
    const int n = x->n_added + (x->image != NULL) + (x->pad != NULL);
    const char **tokens = mem_alloc((size_t)(n + 1) * sizeof *tokens);
    if (!tokens)
        return fail(ERR_NOMEM, "no memory for %d added tokens", n);
    const char **end = tokens;
    for (int i = 0; i < x->n_added; i++)
        *end++ = x->added[i];
    if (x->image)
        *end++ = x->image;
    if (x->pad)
        *end++ = x->pad;
    Vocabulary v;
    Status s = vocabulary_make(&v, x->model_path, x->vocab_size, tokens, n, "<unused", ">");
    if (!s)
        s = write_files(folder, x, &v);
    vocabulary_free(&v);
    mem_free(tokens);
    return s;
}
