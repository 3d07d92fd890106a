/* made.c: what shards are made from, as text: settings, tokenizer, files. When it differs, they are made anew (parts.h). Called by
 * prepare.c. */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <xxhash.h>

#include "data/formats/json_compare.h"
#include "data/formats/json_write.h"
#include "data/prepare/parts.h"
#include "data/formats/sha256.h"
#include "data/records/format.h"
#include "data/shards/shard_layout.h"
#include "kernels/base/arena.h"

static const char *const CHAT_NAMES[] = {[CHAT_MISTRAL_INSTRUCT] = "mistral_instruct", [CHAT_V1] = "v1",
                                         [CHAT_LLAVA_LLAMA_2] = "llava_llama_2", [CHAT_PLAIN] = "plain"};

static const char EXCLUSION[] = "exclude_image_ids", OTHER_FILES[] = "other files", OTHERS_SEEN[] = "what they are";

const char *prepare_template_name(ChatTemplate t) { return CHAT_NAMES[t]; }

/* ---------------------------------------------------------------- the description */

static Status add_file(cJSON *files, const char *path)
{
    struct stat st;
    if (stat(path, &st))
        return fail(ERR_MISSING, "%s: %s", path, strerror(errno));
    cJSON *file = json_add(files, NULL, cJSON_CreateObject());
    cJSON_AddStringToObject(file, "path", path);
    json_add_int(file, "bytes", st.st_size);
    json_add_int(file, "mtime_ns", (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec);
    return OK;
}

/* Said only where a source has it: other runs' shards stay as they are. */
static void describe_layout(cJSON *o, const MixtureSource *s)
{
    if (s->format != &FORMATS[0])
        cJSON_AddStringToObject(o, "format", s->format->name);
    if (s->format->keys & KEY_AS)
        cJSON_AddStringToObject(o, "as", TASK_NAMES[s->as]);
    if (s->split)
        cJSON_AddStringToObject(o, "split", s->split);
    if (s->license)
        cJSON_AddStringToObject(o, "license", s->license);
    if (s->each)
        json_add_int(o, "each", s->each);
}

/* What decides which rows there are and what they hold. Weights, seed and epoch only choose among prepared rows, so changing them leaves
 * the shards as they are. */
static void describe_rows(cJSON *o, const MixtureSource *s)
{
    cJSON_AddStringToObject(o, "name", s->name);
    json_add_text(o, "image_root", s->image_root);
    cJSON_AddStringToObject(o, "task", TASK_NAMES[s->task]);
    json_add_int(o, "max", s->max);
    describe_layout(o, s);
    cJSON *filters = cJSON_AddArrayToObject(o, "filters");
    for (int i = 0; i < s->n_filters; i++) {
        cJSON *filter = json_add(filters, NULL, cJSON_CreateObject());
        cJSON_AddStringToObject(filter, "score", s->filters[i].score);
        json_add_real(filter, "least", s->filters[i].least);
        json_add_real(filter, "most", s->filters[i].most);
    }
}

/* What leaves rows out over all sources; said only where something does. */
static void describe_choice(cJSON *o, const Mixture *m)
{
    if (m->drop_near)
        cJSON_AddStringToObject(o, "near_duplicates", "drop");
}

/* Files, and folders for their names, that the rows of a layout depend on besides the source's own: too many to be named one by one. */
typedef struct OtherFiles {
    XXH64_hash_t seen; /* of path, size and time of each */
    char sha256[65];   /* of what this was before a file, and the file's, in hex; "": contents are not read */
    int64_t n, bytes, newest_unix;
} OtherFiles;

static Status hash_name(void *arg, const char *name)
{
    XXH64_hash_t *names = arg;
    *names = XXH3_64bits_withSeed(name, strlen(name) + 1, *names);
    return OK;
}

/* Of a folder that rows depend on its names count. */
static Status visit_folder(OtherFiles *o, const char *path)
{
    XXH64_hash_t names = 0;
    char text[PATH_MAX + 32];
    uint8_t digest[32];
    TRY(file_list(path, hash_name, &names));
    int n = snprintf(text, sizeof text, "%s %016llx\n", path, (unsigned long long)names);
    o->seen = XXH3_64bits_withSeed(text, (size_t)n, o->seen);
    o->n++;
    if (!*o->sha256)
        return OK;
    n = snprintf(text, sizeof text, "%s%016llx", o->sha256, (unsigned long long)names);
    sha256_of(text, (size_t)n, digest);
    sha256_hex(digest, o->sha256);
    return OK;
}

static Status visit_other(void *arg, const char *path)
{
    OtherFiles *o = arg;
    struct stat st;
    char text[PATH_MAX + 64];
    uint8_t digest[32];
    if (stat(path, &st))
        return fail(ERR_MISSING, "%s: %s", path, strerror(errno));
    if (S_ISDIR(st.st_mode))
        return visit_folder(o, path);
    int n = snprintf(text, sizeof text, "%s %" PRId64 " %" PRId64 "\n", path, (int64_t)st.st_size,
                     (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec);
    o->seen = XXH3_64bits_withSeed(text, (size_t)n, o->seen);
    o->n++;
    o->bytes += st.st_size;
    o->newest_unix = st.st_mtim.tv_sec > o->newest_unix ? st.st_mtim.tv_sec : o->newest_unix;
    if (!*o->sha256)
        return OK;
    memcpy(text, o->sha256, sizeof o->sha256);
    TRY(sha256_file(path, text + strlen(text), NULL));
    sha256_of(text, strlen(text), digest);
    sha256_hex(digest, o->sha256);
    return OK;
}

static Status visit_others(OtherFiles *o, const MixtureSource *s)
{
    const Feed *feed = s->format->feed[s->as];
    for (int i = 0; i < s->n_files && feed && feed->inputs; i++)
        TRY(feed->inputs(s, s->files[i], visit_other, o));
    return OK;
}

static Status describe_others(cJSON *o, const MixtureSource *s)
{
    OtherFiles others = {0};
    char seen[17];
    TRY(visit_others(&others, s));
    if (s->requests_file)
        TRY(visit_other(&others, s->requests_file));
    if (!others.n)
        return OK;
    snprintf(seen, sizeof seen, "%016llx", (unsigned long long)others.seen);
    json_add_int(o, OTHER_FILES, others.n);
    cJSON_AddStringToObject(o, OTHERS_SEEN, seen);
    return OK;
}

static Status describe_source(cJSON *o, const MixtureSource *s)
{
    describe_rows(o, s);
    TRY(describe_others(o, s));
    cJSON *files = cJSON_AddArrayToObject(o, "files");
    for (int i = 0; i < s->n_files && !(s->format->keys & KEY_ROOT); i++)
        TRY(add_file(files, s->files[i]));
    return OK;
}

/* Said only where rows are excluded. */
static Status describe_exclusion(cJSON *o, const Mixture *m)
{
    return m->exclude_file ? add_file(cJSON_AddArrayToObject(o, EXCLUSION), m->exclude_file) : OK;
}

static Status describe(cJSON *o, const PrepareOptions *p)
{
    Preprocessor seen = {0};
    char sha[65];
    TRY(sha256_file(p->tokenizer_path, sha, NULL));
    if (p->vision_folder)
        TRY(preprocessor_load(&seen, p->vision_folder, p->pad));
    cJSON_AddStringToObject(o, "schema", SHARD_SCHEMA);
    cJSON_AddStringToObject(o, "data.template", CHAT_NAMES[p->encoder.chat]);
    json_add_int(o, "data.max_tokens", p->encoder.max_tokens);
    json_add_int(o, "data.shard_samples", p->shard_samples);
    json_add_int(o, "data.max_pixels", p->max_pixels);
    json_add_int(o, "model.tokens.image", p->encoder.n_visual);
    cJSON *tasks = cJSON_AddArrayToObject(o, "model.tokens.task");
    for (int t = 0; t < N_TASKS; t++)
        json_add_text(tasks, NULL, p->encoder.task_text[t]);
    if (p->prompts[TASK_GENERATE]) /* said only where it leaves rows out: other runs' shards stay as they are */
        cJSON_AddStringToObject(o, "generate rows", "with sd.prompt");
    if (p->prompts[TASK_EDIT])
        cJSON_AddStringToObject(o, "edit rows", "with a prompt");
    json_add_int(o, "vocab_size", p->encoder.vocab_size);
    json_add_text(o, "model.vision.aspect", !p->vision_folder ? NULL : p->pad ? "pad" : "stretch");
    json_add_int(o, "image width", seen.prep.width);
    json_add_int(o, "image height", seen.prep.height);
    json_add_int(o, "patches", p->encoder.patches);
    cJSON_AddStringToObject(o, "tokenizer_sha256", sha);
    TRY(describe_exclusion(o, p->mixture));
    describe_choice(o, p->mixture);
    cJSON *sources = cJSON_AddArrayToObject(o, "sources");
    for (int i = 0; i < p->mixture->n_sources; i++)
        TRY(describe_source(json_add(sources, NULL, cJSON_CreateObject()), &p->mixture->sources[i]));
    return OK;
}

Status made_describe(const PrepareOptions *o, char **json)
{
    cJSON *tree = cJSON_CreateObject();
    Status s = describe(tree, o);
    if (!s)
        s = json_to_text(json, &tree, JSON_INLINE, "what the shards are made from");
    cJSON_Delete(tree);
    return s;
}

static Status add_input(cJSON *list, const char *path, int64_t *newest_unix)
{
    struct stat st;
    char sha[65];
    int64_t bytes;
    if (stat(path, &st))
        return fail(ERR_MISSING, "%s: %s", path, strerror(errno));
    TRY(sha256_file(path, sha, &bytes));
    *newest_unix = st.st_mtim.tv_sec > *newest_unix ? st.st_mtim.tv_sec : *newest_unix;
    cJSON *input = json_add(list, NULL, cJSON_CreateObject());
    cJSON_AddStringToObject(input, "path", path);
    json_add_int(input, "bytes", bytes);
    cJSON_AddStringToObject(input, "sha256", sha);
    return OK;
}

/* A folder: all files that its rows depend on, as one. */
static Status add_folder(cJSON *list, const MixtureSource *source, int64_t *newest_unix)
{
    OtherFiles others = {.sha256 = "0"};
    TRY(visit_others(&others, source));
    *newest_unix = others.newest_unix > *newest_unix ? others.newest_unix : *newest_unix;
    cJSON *input = json_add(list, NULL, cJSON_CreateObject());
    cJSON_AddStringToObject(input, "path", source->files[0]);
    json_add_int(input, "bytes", others.bytes);
    cJSON_AddStringToObject(input, "sha256", others.sha256);
    return OK;
}

Status made_inputs(const PrepareOptions *o, char **json, int64_t *newest_unix)
{
    *newest_unix = 0;
    cJSON *list = cJSON_CreateArray();
    Status s = add_input(list, o->tokenizer_path, newest_unix);
    if (o->mixture->exclude_file && !s)
        s = add_input(list, o->mixture->exclude_file, newest_unix);
    for (int i = 0; i < o->mixture->n_sources && !s; i++) {
        const MixtureSource *source = &o->mixture->sources[i];
        if (source->format->keys & KEY_ROOT)
            s = add_folder(list, source, newest_unix);
        for (int k = 0; k < source->n_files && !(source->format->keys & KEY_ROOT) && !s; k++)
            s = add_input(list, source->files[k], newest_unix);
        if (source->requests_file && !s)
            s = add_input(list, source->requests_file, newest_unix);
    }
    if (!s)
        s = json_to_text(json, &list, JSON_INLINE, "what the shards are made from");
    cJSON_Delete(list);
    return s;
}

/* Where a file goes that several sources may name; NULL: it is there. A folder holds other files for another source (a split of it), and
 * then has a number behind its path. */
static cJSON *add_once(cJSON *files, const char *path, const char *sha256)
{
    char name[PATH_MAX + 16];
    snprintf(name, sizeof name, "%s", path);
    for (int k = 2;; k++) {
        const cJSON *there = cJSON_GetObjectItemCaseSensitive(files, name);
        if (!there)
            return cJSON_AddObjectToObject(files, name);
        const char *known = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(there, "sha256"));
        if (!known || !strcmp(known, sha256))
            return NULL;
        snprintf(name, sizeof name, "%s (%d)", path, k);
    }
}

/* Files by their path, so that a difference names them. */
static Status add_inputs(cJSON *files, const char *inputs)
{
    JsonDoc *doc;
    TRY(json_parse(&doc, inputs, strlen(inputs), "what the shards are made from"));
    for (const Json *input = json_root(doc)->child; input; input = input->next) {
        const Json *path = json_get(input, "path"), *bytes = json_get(input, "bytes"), *sha256 = json_get(input, "sha256");
        if (!path || path->kind != JSON_STRING || !bytes || !sha256 || sha256->kind != JSON_STRING)
            continue;
        cJSON *file = add_once(files, path->string, sha256->string);
        if (!file)
            continue;
        json_add_value(file, "bytes", bytes);
        json_add_value(file, "sha256", sha256);
    }
    json_free(&doc);
    return OK;
}

static Status identify(cJSON *o, const PrepareOptions *p, const char *inputs, const char *shards)
{
    Preprocessor seen = {0};
    if (p->vision_folder)
        TRY(preprocessor_load(&seen, p->vision_folder, p->pad));
    TRY(add_inputs(cJSON_AddObjectToObject(o, "files"), inputs));
    cJSON *sources = cJSON_AddArrayToObject(o, "sources");
    for (int i = 0; i < p->mixture->n_sources; i++) {
        const MixtureSource *s = &p->mixture->sources[i];
        cJSON *source = json_add(sources, NULL, cJSON_CreateObject());
        describe_rows(source, s);
        json_add_real(source, "weight", s->weight);
        json_add_texts(source, "files", s->files, s->n_files);
    }
    describe_choice(o, p->mixture);
    json_add_int(o, "seed", p->mixture->seed);
    json_add_real(o, "epoch", p->mixture->epoch);
    json_add_int(o, "image width", seen.prep.width);
    json_add_int(o, "image height", seen.prep.height);
    json_add_text(o, "shards", shards);
    return OK;
}

Status made_identity(const PrepareOptions *o, const char *inputs, const char *shards, char **json)
{
    cJSON *tree = cJSON_CreateObject();
    Status s = identify(tree, o, inputs, shards);
    if (!s)
        s = json_to_text(json, &tree, JSON_INLINE, "what the samples are");
    cJSON_Delete(tree);
    return s;
}

/* ---------------------------------------------------------------- what differs */

typedef struct Stale {
    const Json *here; /* the whole description */
    char *out;        /* the sentence */
    size_t n;
    bool found;
} Stale;

static void show(char *out, size_t n, const Json *v)
{
    if (!v || v->kind == JSON_NULL)
        snprintf(out, n, "none");
    else if (v->kind == JSON_STRING)
        snprintf(out, n, "%s", v->string);
    else if (v->kind == JSON_INT)
        snprintf(out, n, "%" PRId64, v->integer);
    else if (v->kind == JSON_REAL)
        snprintf(out, n, "%.15g", v->real);
    else
        snprintf(out, n, "%s", json_kind_name(v->kind));
}

static const Json *at(const Json *array, int i)
{
    const Json *v = array ? array->child : NULL;
    while (v && i--)
        v = v->next;
    return v;
}

/* The first difference is the one that is told. */
static Status tell(void *arg, const char *path, const Json *there, const Json *here)
{
    Stale *s = arg;
    char was[256], is[256], file[PATH_MAX];
    int i = 0, k = 0, end = 0;
    if (s->found)
        return OK;
    s->found = true;
    show(was, sizeof was, there);
    show(is, sizeof is, here);
    bool inside = sscanf(path, "sources[%d].%n", &i, &end) == 1 && end;
    if (inside && sscanf(path, "sources[%d].files[%d].%n", &i, &k, &end) == 2) {
        show(file, sizeof file, json_get(at(json_get(at(json_get(s->here, "sources"), i), "files"), k), "path"));
        snprintf(s->out, s->n, strcmp(path + end, "path") ? "%s changed" : "%s was not among the inputs", file);
    } else if (inside && (!strcmp(path + end, OTHER_FILES) || !strcmp(path + end, OTHERS_SEEN))) {
        show(file, sizeof file, json_get(at(json_get(s->here, "sources"), i), "name"));
        snprintf(s->out, s->n, "files that the rows of source \"%s\" are made of changed", file);
    } else if (!strncmp(path, EXCLUSION, sizeof EXCLUSION - 1)) {
        snprintf(s->out, s->n, "the mixture's list of excluded pictures (%s) changed", EXCLUSION);
    } else if (inside && !strcmp(path + end, "files")) {
        snprintf(s->out, s->n, "the mixture's sources[%d] has other files", i);
    } else if (!strcmp(path, "sources")) {
        snprintf(s->out, s->n, "the mixture has other sources");
    } else if (!strcmp(path, "tokenizer_sha256")) {
        snprintf(s->out, s->n, "the tokenizer changed");
    } else if (sscanf(path, "model.tokens.task[%d]", &i) == 1) {
        snprintf(s->out, s->n, "model.tokens.task.%s was %s, is %s", TASK_NAMES[i % N_TASKS], was, is);
    } else {
        snprintf(s->out, s->n, "%s%s was %s, is %s", inside ? "the mixture's " : "", path, was, is);
    }
    return OK;
}

void made_difference(const char *there, const char *here, char *out, size_t n)
{
    JsonDoc *a = NULL, *b = NULL;
    snprintf(out, n, "they were made from something else");
    if (!json_parse(&a, there, strlen(there), "manifest.jsonl") && !json_parse(&b, here, strlen(here), "here")) {
        Stale s = {.here = json_root(b), .out = out, .n = n};
        Status ignored = json_compare(json_root(a), json_root(b), tell, &s);
        (void)ignored; /* tell does not fail */
    }
    json_free(&a);
    json_free(&b);
}
