/* clip_vocabulary.c: reads the files of a CLIP tokenizer's folder (clip_vocabulary.h). Called by clip_tokenizer.c. */
#include "data/text/clip_vocabulary.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "data/formats/file.h"
#include "data/text/nfc.h"
#include "kernels/base/arena.h"
#include "kernels/base/utf8.h"

enum { ID_MAX = 1 << 24, PIECE_MAX = 4096, MERGES_BYTES_MAX = 256 << 20, ADDED_MAX = 4096, SHOWN = 40 };
static const char END_OF_WORD[] = "</w>";

/* ---------------------------------------------------------------- pieces */

static int compare_pieces(const void *a, const void *b)
{
    const ClipPiece *x = a, *y = b;
    return x->n != y->n ? (x->n > y->n) - (x->n < y->n) : memcmp(x->bytes, y->bytes, x->n);
}

/* -1: there is none. */
static int32_t find_piece(const ClipVocabulary *v, const char *bytes, size_t n)
{
    const ClipPiece wanted = {.bytes = bytes, .n = n};
    const ClipPiece *found = bsearch(&wanted, v->pieces, v->n_pieces, sizeof wanted, compare_pieces);
    return found ? found->id : -1;
}

static Status read_pieces(ClipVocabulary *v, const Json *object, const char *file)
{
    v->pieces = mem_alloc((object->length + 1) * sizeof *v->pieces);
    if (!v->pieces)
        return fail(ERR_NOMEM, "%s: no memory for %zu pieces", file, object->length);
    for (const Json *piece = object->child; piece; piece = piece->next) {
        size_t n = strlen(piece->key);
        if (n > PIECE_MAX)
            return fail(ERR_DATA, "%s:%d:%d: a piece of %zu bytes, %d are allowed", file, piece->key_line, piece->key_column, n, PIECE_MAX);
        if (piece->kind != JSON_INT || piece->integer < 0 || piece->integer >= ID_MAX)
            return fail(ERR_DATA, "%s:%d:%d: \"%.*s\": expected an id from 0 to %d", file, piece->line, piece->column, SHOWN, piece->key,
                        ID_MAX - 1);
        v->pieces[v->n_pieces++] = (ClipPiece){piece->key, n, (int32_t)piece->integer};
        if (piece->integer >= v->info.n_ids)
            v->info.n_ids = (int32_t)piece->integer + 1;
    }
    qsort(v->pieces, v->n_pieces, sizeof *v->pieces, compare_pieces);
    return OK;
}

/* GPT-2's table: printable bytes stand for themselves as characters, the others for those from U+0100 on. */
static void fill_bytes(ClipVocabulary *v)
{
    uint32_t others = 0x100;
    for (uint32_t b = 0; b < 256; b++) {
        bool printable = (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
        char spelled[4 + sizeof END_OF_WORD];
        size_t n = (size_t)utf8_encode(printable ? b : others++, spelled);
        memcpy(spelled + n, END_OF_WORD, sizeof END_OF_WORD);
        for (int last = 0; last < 2; last++) {
            int32_t id = find_piece(v, spelled, n + (last ? sizeof END_OF_WORD - 1 : 0));
            v->byte[last][b] = id < 0 ? v->unk : id;
        }
    }
}

/* ---------------------------------------------------------------- merges */

static int compare_merges(const void *a, const void *b)
{
    const ClipMerge *x = a, *y = b;
    return x->left != y->left     ? (x->left > y->left) - (x->left < y->left)
           : x->right != y->right ? (x->right > y->right) - (x->right < y->right)
                                  : (x->rank > y->rank) - (x->rank < y->rank);
}

const ClipMerge *clip_vocabulary_merge(const ClipVocabulary *v, int32_t left, int32_t right)
{
    size_t low = 0, high = v->n_merges;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        const ClipMerge *m = &v->merges[mid];
        if (m->left == left && m->right == right)
            return m;
        if (m->left < left || (m->left == left && m->right < right))
            low = mid + 1;
        else
            high = mid;
    }
    return NULL;
}

/* The merge of two pieces; the rank is how many came before. */
static Status add_merge(ClipVocabulary *v, const char *left, size_t n_left, const char *right, size_t n_right, const char *file, int line)
{
    static const char UNKNOWN[] = "%s:%d: merges \"%.*s\" and \"%.*s\", and %s of them is no piece of the vocabulary";
    char merged[2 * PIECE_MAX];
    int show_left = (int)(n_left < SHOWN ? n_left : SHOWN), show_right = (int)(n_right < SHOWN ? n_right : SHOWN);
    ClipMerge m = {find_piece(v, left, n_left), find_piece(v, right, n_right), (int32_t)v->n_merges, -1};
    if (n_left <= PIECE_MAX && n_right <= PIECE_MAX) {
        memcpy(merged, left, n_left);
        memcpy(merged + n_left, right, n_right);
        m.merged = find_piece(v, merged, n_left + n_right);
    }
    if (m.left < 0 || m.right < 0 || m.merged < 0)
        return fail(ERR_DATA, UNKNOWN, file, line, show_left, left, show_right, right,
                    m.left < 0    ? "the first"
                    : m.right < 0 ? "the second"
                                  : "the whole");
    v->merges[v->n_merges++] = m;
    return OK;
}

/* "left right": exactly one space. */
static Status add_line(ClipVocabulary *v, const char *text, size_t n, const char *file, int line)
{
    const char *space = memchr(text, ' ', n);
    size_t left = space ? (size_t)(space - text) : n, right = space ? n - left - 1 : 0;
    if (!left || !right || memchr(space + 1, ' ', right))
        return fail(ERR_DATA, "%s:%d: expected two pieces with a space between them, found \"%.*s\"", file, line,
                    (int)(n < SHOWN ? n : SHOWN), text);
    return add_merge(v, text, left, space + 1, right, file, line);
}

static Status reserve_merges(ClipVocabulary *v, size_t n, const char *file)
{
    v->merges = mem_alloc((n + 1) * sizeof *v->merges);
    return v->merges ? OK : fail(ERR_NOMEM, "%s: no memory for %zu merges", file, n);
}

/* A merge a line, the earlier the sooner it is made; a first line "#version: …". */
static Status parse_merges(ClipVocabulary *v, const char *text, size_t n, const char *file)
{
    size_t lines = 0;
    for (const char *at = text; (at = memchr(at, '\n', n - (size_t)(at - text))); at++)
        lines++;
    TRY(reserve_merges(v, lines + 1, file));
    int line = 1;
    for (const char *at = text, *end = text + n; at < end; line++) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        size_t length = (size_t)((stop ? stop : end) - at);
        length -= length && at[length - 1] == '\r';
        if (length && strncmp(at, "#version", strlen("#version")))
            TRY(add_line(v, at, length, file, line));
        at = stop ? stop + 1 : end;
    }
    return OK;
}

static Status read_merges_file(ClipVocabulary *v, const char *folder)
{
    char path[PATH_MAX], *text;
    size_t n;
    TRY(file_read(&text, &n, file_join(path, folder, "merges.txt"), MERGES_BYTES_MAX));
    Status s = parse_merges(v, text, n, path);
    mem_free(text);
    return s;
}

/* Those of tokenizer.json: ["left", "right"] or "left right". */
static Status read_merges_list(ClipVocabulary *v, const Json *list, const char *file)
{
    TRY(reserve_merges(v, list->length, file));
    for (const Json *m = list->child; m; m = m->next) {
        const Json *left = m->kind == JSON_ARRAY ? m->child : NULL, *right = left ? left->next : NULL;
        if (m->kind == JSON_STRING)
            TRY(add_line(v, m->string, m->length, file, m->line));
        else if (right && !right->next && left->kind == JSON_STRING && right->kind == JSON_STRING)
            TRY(add_merge(v, left->string, left->length, right->string, right->length, file, m->line));
        else
            return fail(ERR_DATA, "%s:%d:%d: expected a merge of two pieces", file, m->line, m->column);
    }
    return OK;
}

/* Of a pair that is listed twice the later rank counts, as in the tokenizers library. */
static void sort_merges(ClipVocabulary *v)
{
    size_t kept = 0;
    qsort(v->merges, v->n_merges, sizeof *v->merges, compare_merges);
    for (size_t i = 0; i < v->n_merges; i++) {
        const ClipMerge *next = i + 1 < v->n_merges ? &v->merges[i + 1] : NULL;
        if (!next || next->left != v->merges[i].left || next->right != v->merges[i].right)
            v->merges[kept++] = v->merges[i];
    }
    v->n_merges = kept;
}

/* ---------------------------------------------------------------- added tokens */

static ClipAdded *find_added(const ClipVocabulary *v, const char *text)
{
    for (size_t i = 0; i < v->n_added; i++)
        if (!strcmp(v->added[i].text, text))
            return &v->added[i];
    return NULL;
}

/* The id is that of the piece, where the vocabulary has one. */
static Status add_token(ClipVocabulary *v, const char *text, int64_t id, bool normalized)
{
    int32_t piece = find_piece(v, text, strlen(text));
    id = piece < 0 ? id : piece;
    if (v->n_added == ADDED_MAX)
        return fail(ERR_DATA, "%s: more than %d added tokens beside it", v->file.file, ADDED_MAX);
    ClipAdded *more = mem_grow(v->added, (v->n_added + 1) * sizeof *more);
    char *copy = mem_strdup(text);
    if (more)
        v->added = more;
    if (!more || !copy) {
        mem_free(copy);
        return fail(ERR_NOMEM, "no memory for the token \"%.*s\"", SHOWN, text);
    }
    v->added[v->n_added++] = (ClipAdded){copy, strlen(copy), (int32_t)id, normalized};
    if (id >= v->info.n_ids)
        v->info.n_ids = (int32_t)id + 1;
    return OK;
}

/* How tokenizer files describe one: a text, or an object with its `content`. NULL: refused. */
static const char *token_text(JsonFields *f, const Json *token, const char *key)
{
    const Json *text = token->kind == JSON_OBJECT ? json_get(token, "content") : token;
    if (!text || text->kind != JSON_STRING || !text->length || strlen(text->string) != text->length) {
        fields_refuse(f, token, key, "is not a token: expected a text, or an object with its content");
        return NULL;
    }
    if (token->kind == JSON_OBJECT && fields_bool(f, token, "single_word", false))
        fields_refuse(f, token, key, "is \"%.*s\" with single_word, which is not supported", SHOWN, text->string);
    return f->status ? NULL : text->string;
}

/* A token that comes with its id. */
static void add_listed(ClipVocabulary *v, JsonFields *f, const Json *token, int64_t id)
{
    const char *text = token_text(f, token, "an added token");
    if (!text)
        return;
    if (id < 0 || id >= ID_MAX)
        fields_refuse(f, token, text, "has the id %" PRId64 ", expected 0 … %d", id, ID_MAX - 1);
    if (!f->status)
        f->status = add_token(v, text, id, fields_bool(f, token, "normalized", !fields_bool(f, token, "special", false)));
}

/* {"49406": {"content": "<|startoftext|>", …}, …} of tokenizer_config.json */
static void read_decoder(ClipVocabulary *v, JsonFields *f, const Json *decoder)
{
    for (const Json *token = decoder ? decoder->child : NULL; token && !f->status; token = token->next) {
        char *end;
        long long id = strtoll(token->key, &end, 10);
        add_listed(v, f, token, *token->key && !*end ? id : -1);
    }
}

/* [{"id": 49406, "content": "<|startoftext|>", …}, …] of tokenizer.json */
static void read_added_list(ClipVocabulary *v, JsonFields *f, const Json *list)
{
    for (const Json *token = list ? list->child : NULL; token && !f->status; token = token->next)
        add_listed(v, f, token, fields_int(f, token, "id", FIELD_REQUIRED, 0, ID_MAX - 1));
}

/* {"<a-new-word>": 49408} of added_tokens.json */
static Status read_added_file(ClipVocabulary *v, const char *folder)
{
    char path[PATH_MAX];
    JsonFields f;
    if (!file_exists(file_join(path, folder, "added_tokens.json")))
        return OK;
    TRY(fields_open(&f, folder, "added_tokens.json"));
    for (const Json *token = f.top->child; token && !f.status; token = token->next) {
        int64_t id = fields_int(&f, f.top, token->key, FIELD_REQUIRED, 0, ID_MAX - 1);
        if (!f.status && *token->key && !find_added(v, token->key))
            f.status = add_token(v, token->key, id, true);
    }
    Status s = f.status;
    fields_close(&f);
    return s;
}

/* A token with a role: it is a piece of the vocabulary or was listed with an id. Its id, -1: refused. Of two that spell the same the
 * later says whether it is looked for in normalised text, unless a list has said so. */
static int32_t add_named(ClipVocabulary *v, size_t n_listed, JsonFields *f, const Json *token, const char *key, const char *absent)
{
    const char *text = token ? token_text(f, token, key) : absent;
    if (!text || f->status)
        return -1;
    ClipAdded *known = find_added(v, text);
    int32_t id = known ? known->id : find_piece(v, text, strlen(text));
    bool normalized = token && token->kind == JSON_OBJECT && fields_bool(f, token, "normalized", false);
    if (id < 0)
        fields_refuse(f, token, key, "is \"%.*s\", which is no piece of the vocabulary", SHOWN, text);
    else if (!known)
        f->status = add_token(v, text, id, normalized);
    else if ((size_t)(known - v->added) >= n_listed)
        known->normalized = normalized;
    return id;
}

/* ---------------------------------------------------------------- tokenizer_config.json */

static const FieldRule RULES[] = {
    {"add_bos_token", "true"},
    {"add_eos_token", "true"},
    {"add_prefix_space", ""},
    {"added_tokens_decoder", NULL},
    {"additional_special_tokens", NULL},
    {"backend", NULL},
    {"bos_token", NULL},
    {"clean_up_tokenization_spaces", NULL},
    {"do_lower_case", NULL}, /* transformers always does */
    {"eos_token", NULL},
    {"errors", NULL},
    {"extra_special_tokens", NULL},
    {"is_local", NULL},
    {"local_files_only", NULL},
    {"max_length", NULL},
    {"merges_file", NULL},
    {"model_max_length", NULL},
    {"name_or_path", NULL},
    {"pad_token", NULL},
    {"padding_side", "\"right\""},
    {"processor_class", NULL},
    {"special_tokens_map_file", NULL},
    {"split_special_tokens", ""},
    {"stride", NULL},
    {"tokenizer_class", "\"CLIPTokenizer\"|\"CLIPTokenizerFast\""},
    {"tokenizer_file", NULL},
    {"transformers_version", NULL},
    {"truncation_side", "\"right\""},
    {"truncation_strategy", NULL},
    {"unk_token", NULL},
    {"vocab_file", NULL},
    {"use_fast", NULL},
    {0},
};
static const FieldClass CONFIG = {{RULES}, NULL};

/* A file that may be missing: then it is {}. */
static Status open_optional(JsonFields *f, const char *folder, const char *name)
{
    char path[PATH_MAX];
    file_join(path, folder, name);
    return file_exists(path) ? fields_open(f, folder, name) : fields_parse(f, "{}", 2, path);
}

/* The tokens with roles. Older folders name them in special_tokens_map.json, which then wins. */
static void read_roles(ClipVocabulary *v, JsonFields *config, JsonFields *map)
{
    static const char END[] = "<|endoftext|>", *const KEYS[] = {"bos_token", "eos_token", "unk_token", "pad_token"};
    static const char *const LISTS[] = {"additional_special_tokens", "extra_special_tokens"};
    int32_t *const ids[] = {&v->info.start, &v->info.end, &v->unk, &v->info.pad};
    bool listed = fields_get(config->top, "added_tokens_decoder") != NULL;
    size_t n_listed = v->n_added;
    for (int i = 0; i < 4; i++) {
        const Json *old = listed ? NULL : fields_get(map->top, KEYS[i]);
        JsonFields *f = old ? map : config;
        *ids[i] = add_named(v, n_listed, f, old ? old : fields_get(config->top, KEYS[i]), KEYS[i], i ? END : "<|startoftext|>");
    }
    for (int i = 0; i < 2; i++) {
        const Json *old = listed ? NULL : fields_get(map->top, LISTS[i]), *list = old ? old : fields_get(config->top, LISTS[i]);
        for (const Json *token = list ? list->child : NULL; token; token = token->next)
            add_named(v, n_listed, old ? map : config, token, LISTS[i], NULL);
    }
    double length = fields_real(config, config->top, "model_max_length", 0);
    v->info.length = length >= 2 && length < ID_MAX ? (int32_t)length : 0; /* a folder without a bound writes 1e30 */
}

static Status read_tokens(ClipVocabulary *v, const char *folder)
{
    JsonFields config, map = {.doc = NULL};
    TRY(open_optional(&config, folder, "tokenizer_config.json"));
    fields_known(&config, config.top, &CONFIG);
    read_decoder(v, &config, fields_object(&config, config.top, "added_tokens_decoder"));
    Status s = config.status ? config.status : read_added_file(v, folder);
    if (!s && !(s = open_optional(&map, folder, "special_tokens_map.json"))) {
        read_roles(v, &config, &map);
        s = config.status ? config.status : map.status;
    }
    fields_close(&map);
    fields_close(&config);
    return s;
}

/* ---------------------------------------------------------------- vocab.json and merges.txt, or tokenizer.json */

static Status read_pair_of_files(ClipVocabulary *v, const char *folder)
{
    TRY(fields_open(&v->file, folder, "vocab.json"));
    TRY(read_pieces(v, v->file.top, v->file.file));
    return read_merges_file(v, folder);
}

static const FieldRule MODEL_RULES[] = {
    {"type", "\"BPE\""},  {"unk_token", NULL},  {"continuing_subword_prefix", "\"\""}, {"end_of_word_suffix", "\"</w>\""},
    {"fuse_unk", ""}, {"vocab", NULL}, {"merges", NULL}, {0},
};
static const FieldClass MODEL = {{MODEL_RULES}, NULL};

static Status read_one_file(ClipVocabulary *v, const char *folder)
{
    JsonFields *f = &v->file;
    TRY(fields_open(f, folder, "tokenizer.json"));
    const Json *model = fields_object(f, f->top, "model"), *vocab = model ? fields_object(f, model, "vocab") : NULL,
               *merges = fields_get(model, "merges");
    fields_known(f, model, &MODEL);
    if (!vocab || !merges || merges->kind != JSON_ARRAY || !fields_get(model, "end_of_word_suffix"))
        fields_refuse(f, model, "model", "is no byte-pair vocabulary: expected vocab, merges and end_of_word_suffix \"</w>\"");
    if (!f->status)
        f->status = read_pieces(v, vocab, f->file);
    if (!f->status)
        f->status = read_merges_list(v, merges, f->file);
    read_added_list(v, f, fields_get(f->top, "added_tokens"));
    return f->status;
}

/* Tokens that are looked for in normalised text are normalised too; others stay as they are. */
static Status normalise_added(ClipVocabulary *v)
{
    for (size_t i = 0; i < v->n_added; i++) {
        ClipAdded *a = &v->added[i];
        char *text;
        if (!a->normalized)
            continue;
        TRY(nfc_lower(&text, &a->n, a->text, a->n));
        mem_free(a->text);
        a->text = text;
    }
    return OK;
}

Status clip_vocabulary_read(ClipVocabulary *v, const char *folder)
{
    char one[PATH_MAX], two[PATH_MAX];
    bool whole = !file_exists(file_join(two, folder, "vocab.json")) && file_exists(file_join(one, folder, "tokenizer.json"));
    TRY(whole ? read_one_file(v, folder) : read_pair_of_files(v, folder));
    sort_merges(v);
    TRY(read_tokens(v, folder));
    fill_bytes(v);
    return normalise_added(v);
}

void clip_vocabulary_free(ClipVocabulary *v)
{
    for (size_t i = 0; i < v->n_added; i++)
        mem_free(v->added[i].text);
    mem_free(v->added);
    mem_free(v->pieces);
    mem_free(v->merges);
    fields_close(&v->file);
}
