#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "data/formats/json.h"
#include "data/prepare/parts.h"
#include "data/formats/sha256.h"
#include "data/shards/shard_layout.h"
#include "kernels/base/arena.h"

static const char *const CHAT_NAMES[] = {[CHAT_MISTRAL_INSTRUCT] = "mistral_instruct", [CHAT_V1] = "v1",
                                         [CHAT_LLAVA_LLAMA_2] = "llava_llama_2", [CHAT_PLAIN] = "plain"};

const char *prepare_template_name(ChatTemplate t) { return CHAT_NAMES[t]; }

static Status finish(JsonOut *j, char **json)
{
    if (!j->failed) {
        *json = j->text;
        return OK;
    }
    jsonout_free(j);
    return fail(ERR_NOMEM, "no memory to describe what the shards are made from");
}

/* ---------------------------------------------------------------- the description */

static Status put_file(JsonOut *j, const char *path)
{
    struct stat st;
    if (stat(path, &st))
        return fail(ERR_MISSING, "%s: %s", path, strerror(errno));
    jsonout_begin_object(j, NULL);
    jsonout_string(j, "path", path);
    jsonout_int(j, "bytes", st.st_size);
    jsonout_int(j, "mtime_ns", (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec);
    jsonout_end_object(j);
    return OK;
}

/* What decides which rows there are and what they hold. Weights, seed and epoch only choose among prepared rows, so changing them leaves the
 * shards as they are. */
static Status put_source(JsonOut *j, const MixtureSource *s)
{
    jsonout_begin_object(j, NULL);
    jsonout_string(j, "name", s->name);
    jsonout_string(j, "image_root", s->image_root);
    jsonout_string(j, "task", TASK_NAMES[s->task]);
    jsonout_int(j, "max", s->max);
    jsonout_begin_array(j, "filters");
    for (int i = 0; i < s->n_filters; i++) {
        jsonout_begin_object(j, NULL);
        jsonout_string(j, "score", s->filters[i].score);
        jsonout_real(j, "least", s->filters[i].least);
        jsonout_real(j, "most", s->filters[i].most);
        jsonout_end_object(j);
    }
    jsonout_end_array(j);
    jsonout_begin_array(j, "files");
    for (int i = 0; i < s->n_files; i++)
        TRY(put_file(j, s->files[i]));
    jsonout_end_array(j);
    jsonout_end_object(j);
    return OK;
}

static Status put_all(JsonOut *j, const PrepareOptions *o)
{
    Preprocessor p = {0};
    char sha[65];
    TRY(sha256_file(o->tokenizer_path, sha, NULL));
    if (o->vision_folder)
        TRY(preprocessor_load(&p, o->vision_folder, o->pad));
    jsonout_begin_object(j, NULL);
    jsonout_string(j, "schema", SHARD_SCHEMA);
    jsonout_string(j, "data.template", CHAT_NAMES[o->encoder.chat]);
    jsonout_int(j, "data.max_tokens", o->encoder.max_tokens);
    jsonout_int(j, "data.shard_samples", o->shard_samples);
    jsonout_int(j, "model.tokens.image", o->encoder.n_visual);
    jsonout_begin_array(j, "model.tokens.task");
    for (int t = 0; t < N_TASKS; t++)
        jsonout_string(j, NULL, o->encoder.task_text[t]);
    jsonout_end_array(j);
    jsonout_int(j, "vocab_size", o->encoder.vocab_size);
    jsonout_string(j, "model.vision.aspect", !o->vision_folder ? NULL : o->pad ? "pad" : "stretch");
    jsonout_int(j, "image width", p.prep.width);
    jsonout_int(j, "image height", p.prep.height);
    jsonout_int(j, "patches", o->encoder.patches);
    jsonout_string(j, "tokenizer_sha256", sha);
    jsonout_begin_array(j, "sources");
    for (int i = 0; i < o->mixture->n_sources; i++)
        TRY(put_source(j, &o->mixture->sources[i]));
    jsonout_end_array(j);
    jsonout_end_object(j);
    return OK;
}

Status made_describe(const PrepareOptions *o, char **json)
{
    JsonOut j = {0};
    Status s = put_all(&j, o);
    if (s) {
        jsonout_free(&j);
        return s;
    }
    return finish(&j, json);
}

Status prepare_config_hash(const PrepareOptions *o, char out[65])
{
    char *json;
    uint8_t digest[32];
    TRY(made_describe(o, &json));
    sha256_of(json, strlen(json), digest);
    sha256_hex(digest, out);
    mem_free(json);
    return OK;
}

Status made_inputs(const PrepareOptions *o, char **json, int64_t *newest_unix)
{
    JsonOut j = {0};
    Status s = OK;
    *newest_unix = 0;
    jsonout_begin_array(&j, NULL);
    for (int i = -1; i < o->mixture->n_sources && !s; i++) { /* -1: the tokenizer */
        int n = i < 0 ? 1 : o->mixture->sources[i].n_files;
        for (int k = 0; k < n && !s; k++) {
            const char *path = i < 0 ? o->tokenizer_path : o->mixture->sources[i].files[k];
            struct stat st;
            char sha[65];
            int64_t bytes;
            s = stat(path, &st) ? fail(ERR_MISSING, "%s: %s", path, strerror(errno)) : sha256_file(path, sha, &bytes);
            if (s)
                break;
            *newest_unix = st.st_mtim.tv_sec > *newest_unix ? st.st_mtim.tv_sec : *newest_unix;
            jsonout_begin_object(&j, NULL);
            jsonout_string(&j, "path", path);
            jsonout_int(&j, "bytes", bytes);
            jsonout_string(&j, "sha256", sha);
            jsonout_end_object(&j);
        }
    }
    jsonout_end_array(&j);
    if (s) {
        jsonout_free(&j);
        return s;
    }
    return finish(&j, json);
}

/* ---------------------------------------------------------------- what differs */

static void show(char *out, size_t n, const Json *v)
{
    if (!v || v->kind == JSON_NULL)
        snprintf(out, n, "none");
    else if (v->kind == JSON_STRING)
        snprintf(out, n, "%s", v->string);
    else if (v->kind == JSON_INT)
        snprintf(out, n, "%" PRId64, v->integer);
    else
        snprintf(out, n, "%s", json_kind_name(v->kind));
}

static const Json *at(const Json *array, size_t i)
{
    const Json *v = array ? array->child : NULL;
    while (v && i--)
        v = v->next;
    return v;
}

static const char *path_of(const Json *file)
{
    const Json *p = json_get(file, "path");
    return p && p->kind == JSON_STRING ? p->string : "";
}

/* False when the sources are alike. */
static bool sources_differ(const Json *there, const Json *here, char *out, size_t n)
{
    if (!there || !here || there->length != here->length) {
        snprintf(out, n, "the mixture has other sources");
        return true;
    }
    static const char *const KEYS[] = {"name", "image_root", "task", "max"};
    for (size_t i = 0; i < here->length; i++) {
        const Json *a = at(there, i), *b = at(here, i), *fa = json_get(a, "files"), *fb = json_get(b, "files");
        for (size_t k = 0; k < sizeof KEYS / sizeof *KEYS; k++) {
            char was[256], is[256];
            show(was, sizeof was, json_get(a, KEYS[k]));
            show(is, sizeof is, json_get(b, KEYS[k]));
            if (strcmp(was, is)) {
                snprintf(out, n, "the mixture's sources[%zu].%s was %s, is %s", i, KEYS[k], was, is);
                return true;
            }
        }
        if (!fa || !fb || fa->length != fb->length) {
            snprintf(out, n, "the mixture's sources[%zu] has other files", i);
            return true;
        }
        for (size_t k = 0; k < fb->length; k++) {
            const Json *x = at(fa, k), *y = at(fb, k);
            bool same_path = !strcmp(path_of(x), path_of(y));
            const Json *bx = json_get(x, "bytes"), *by = json_get(y, "bytes"), *mx = json_get(x, "mtime_ns"), *my = json_get(y, "mtime_ns");
            if (same_path && bx && by && mx && my && bx->integer == by->integer && mx->integer == my->integer)
                continue;
            snprintf(out, n, same_path ? "%s changed" : "%s was not among the inputs", path_of(y));
            return true;
        }
    }
    return false;
}

static bool members_differ(const Json *there, const Json *here, char *out, size_t n)
{
    for (const Json *b = here->child; b; b = b->next) {
        const Json *a = json_get(there, b->key);
        char was[256], is[256];
        if (!strcmp(b->key, "sources"))
            continue;
        for (size_t i = 0; b->kind == JSON_ARRAY && i < b->length; i++) {
            show(was, sizeof was, at(a, i));
            show(is, sizeof is, at(b, i));
            if (strcmp(was, is)) {
                snprintf(out, n, "%s.%s was %s, is %s", b->key, TASK_NAMES[i % N_TASKS], was, is);
                return true;
            }
        }
        show(was, sizeof was, a);
        show(is, sizeof is, b);
        if (b->kind != JSON_ARRAY && strcmp(was, is)) {
            snprintf(out, n, strstr(b->key, "sha256") ? "the tokenizer changed" : "%s was %s, is %s", b->key, was, is);
            return true;
        }
    }
    return sources_differ(json_get(there, "sources"), json_get(here, "sources"), out, n);
}

void made_difference(const char *there, const char *here, char *out, size_t n)
{
    JsonDoc *a = NULL, *b = NULL;
    snprintf(out, n, "they were made from something else");
    if (!json_parse(&a, there, strlen(there), "manifest.jsonl") && !json_parse(&b, here, strlen(here), "here"))
        members_differ(json_root(a), json_root(b), out, n);
    json_free(&a);
    json_free(&b);
}
