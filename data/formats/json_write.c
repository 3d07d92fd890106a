/* json_write.c: see json_write.h. Every program that writes JSON calls it. */
#include "data/formats/json_write.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "data/formats/file.h"
#include "kernels/base/arena.h"
#include "kernels/base/utf8.h"

/* ---------------------------------------------------------------- building */

static _Thread_local bool no_memory; /* for some part of a tree, since the last was printed */

static void *allocate(size_t n)
{
    void *p = mem_grow(NULL, n);
    no_memory |= !p;
    return p;
}

__attribute__((constructor)) static void set_memory(void) { cJSON_InitHooks(&(cJSON_Hooks){allocate, mem_free}); }

cJSON *json_add(cJSON *to, const char *key, cJSON *item)
{
    if (item && (key ? cJSON_AddItemToObject(to, key, item) : cJSON_AddItemToArray(to, item)))
        return item;
    cJSON_Delete(item);
    return NULL;
}

cJSON *json_add_text(cJSON *to, const char *key, const char *text)
{
    return json_add(to, key, text ? cJSON_CreateString(text) : cJSON_CreateNull());
}

static cJSON *create_int(int64_t value)
{
    char text[24];
    snprintf(text, sizeof text, "%" PRId64, value);
    return cJSON_CreateRaw(text);
}

cJSON *json_add_int(cJSON *to, const char *key, int64_t value) { return json_add(to, key, create_int(value)); }

cJSON *json_add_real(cJSON *to, const char *key, double value) { return json_add(to, key, cJSON_CreateNumber(value)); }

void json_put_text(FILE *out, const char *s, size_t n)
{
    fputc('"', out);
    utf8_put(out, s, n, UTF8_JSON);
    fputc('"', out);
}

static cJSON *create_bytes(const char *text, size_t n)
{
    char *quoted = NULL;
    size_t n_quoted;
    FILE *out = open_memstream(&quoted, &n_quoted);
    if (out)
        json_put_text(out, text, n);
    bool failed = !out || ferror(out);
    failed |= out && fclose(out);
    no_memory |= failed;
    cJSON *item = failed ? NULL : cJSON_CreateRaw(quoted);
    free(quoted); /* the stream's own */
    return item;
}

cJSON *json_add_bytes(cJSON *to, const char *key, const char *text, size_t n) { return json_add(to, key, create_bytes(text, n)); }

cJSON *json_add_texts(cJSON *to, const char *key, char *const *texts, int n)
{
    cJSON *array = json_add(to, key, cJSON_CreateArray());
    for (int i = 0; i < n; i++)
        json_add_text(array, NULL, texts[i]);
    return array;
}

cJSON *json_add_value(cJSON *to, const char *key, const Json *v) { return json_add(to, key, json_copy(v)); }

cJSON *json_copy(const Json *v)
{
    switch (v->kind) {
    case JSON_NULL: return cJSON_CreateNull();
    case JSON_BOOL: return cJSON_CreateBool(v->boolean);
    case JSON_INT: return create_int(v->integer);
    case JSON_REAL: return cJSON_CreateNumber(v->real);
    case JSON_STRING: return create_bytes(v->string, v->length);
    default: break;
    }
    cJSON *inner = v->kind == JSON_ARRAY ? cJSON_CreateArray() : cJSON_CreateObject();
    for (const Json *e = v->child; e; e = e->next)
        json_add_value(inner, e->key, e);
    return inner;
}

/* ---------------------------------------------------------------- printing */

void json_put_real(FILE *out, double value)
{
    char text[40];
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, value);
        if (strtod(text, NULL) == value)
            break;
    }
    /* A real stays a real when read again. */
    fprintf(out, "%s%s", isfinite(value) ? text : "null", isfinite(value) && !strpbrk(text, ".e") ? ".0" : "");
}

static void put_value(FILE *out, const cJSON *v, JsonStyle style, int depth)
{
    if (cJSON_IsRaw(v))
        fputs(v->valuestring, out);
    else if (cJSON_IsString(v))
        json_put_text(out, v->valuestring, strlen(v->valuestring));
    else if (cJSON_IsNumber(v))
        json_put_real(out, v->valuedouble);
    else if (!cJSON_IsArray(v) && !cJSON_IsObject(v))
        fputs(cJSON_IsTrue(v) ? "true" : cJSON_IsFalse(v) ? "false" : "null", out);
    else {
        fputc(cJSON_IsArray(v) ? '[' : '{', out);
        for (const cJSON *e = v->child; e; e = e->next) {
            if (style == JSON_PRETTY)
                fprintf(out, "\n%*s", 2 * depth + 2, "");
            if (cJSON_IsObject(v)) {
                json_put_text(out, e->string, strlen(e->string));
                fputs(style == JSON_PRETTY ? ": " : ":", out);
            }
            put_value(out, e, style, depth + 1);
            if (e->next)
                fputc(',', out);
        }
        if (style == JSON_PRETTY && v->child)
            fprintf(out, "\n%*s", 2 * depth, "");
        fputc(cJSON_IsArray(v) ? ']' : '}', out);
    }
}

static Status take_tree(cJSON **tree, FILE *out, JsonStyle style, const char *name)
{
    Status s = no_memory || !*tree ? fail(ERR_NOMEM, "%s: no memory for its JSON", name) : OK;
    no_memory = false;
    if (s == OK)
        put_value(out, *tree, style, 0);
    if (s == OK && style != JSON_INLINE)
        fputc('\n', out);
    cJSON_Delete(*tree);
    *tree = NULL;
    return s;
}

Status json_print(FILE *out, cJSON **tree, JsonStyle style, const char *name)
{
    TRY(take_tree(tree, out, style, name));
    return ferror(out) ? fail(ERR_IO, "%s: cannot be written: %s", name, strerror(errno)) : OK;
}

Status json_to_text(char **text, cJSON **tree, JsonStyle style, const char *name)
{
    size_t n;
    *text = NULL;
    FILE *out = open_memstream(text, &n);
    no_memory |= !out;
    Status s = take_tree(tree, out, style, name);
    if (out && fclose(out) && !s)
        s = fail(ERR_NOMEM, "%s: no memory for its JSON", name);
    if (s != OK) {
        mem_free(*text);
        *text = NULL;
    }
    return s;
}

Status json_save(const char *path, cJSON **tree)
{
    FileDraft d = {.out = NULL};
    Status s = file_draft(&d, path);
    if (s == OK)
        s = json_print(d.out, tree, JSON_PRETTY, path);
    cJSON_Delete(*tree);
    *tree = NULL;
    return file_publish(&d, s);
}
