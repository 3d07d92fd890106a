/* requests.c: see requests.h. */
#include "data/records/requests.h"

#include <string.h>
#include <xxhash.h>

#include "data/built_in.h"
#include "data/formats/json.h"
#include "data/formats/mistakes.h"
#include "kernels/base/arena.h"

static const char SCHEMA[] = "genllava.requests/1", CAPTION[] = "{caption}", BUILT_IN[] = "requests.json";

typedef struct Reader {
    const char *name;
    Mistakes mistakes;
} Reader;

#define mistake(r, v, ...) mistakes_add(&(r)->mistakes, (r)->name, (v)->line, (v)->column, __VA_ARGS__)

static int captions_in(const char *text)
{
    int n = 0;
    while ((text = strstr(text, CAPTION))) {
        n++;
        text += sizeof CAPTION - 1;
    }
    return n;
}

static void read_template(Reader *r, Requests *q, Task task, const Json *v)
{
    char found[96];
    if (v->kind != JSON_STRING || !v->length || strlen(v->string) != v->length) {
        mistake(r, v, "a request template is %s, expected a text", json_show(v, found, sizeof found));
        return;
    }
    const int n = captions_in(v->string);
    if (task == TASK_GENERATE && n != 1) {
        mistake(r, v, "this template of \"generate\" holds {caption} %d times, expected once", n);
        return;
    }
    char *copy = mem_strdup(v->string);
    r->mistakes.no_memory |= !copy;
    q->text[task][q->n[task]++] = copy;
}

static void read_task(Reader *r, Requests *q, Task task, const Json *root)
{
    char found[96];
    const Json *list = json_get(root, TASK_NAMES[task]);
    if (!list || list->kind != JSON_ARRAY || !list->length) {
        const Json *at = list ? list : root;
        mistake(r, at, "\"%s\" is %s, expected a list of templates", TASK_NAMES[task],
                list ? json_show(list, found, sizeof found) : "absent");
        return;
    }
    q->text[task] = mem_alloc(list->length * sizeof *q->text[task]);
    r->mistakes.no_memory |= !q->text[task];
    for (const Json *v = list->child; v && q->text[task]; v = v->next)
        read_template(r, q, task, v);
}

static void read_document(Reader *r, Requests *q, const Json *root)
{
    const Json *schema = json_get(root, "schema");
    if (root->kind != JSON_OBJECT) {
        mistake(r, root, "request templates are %s, expected an object", json_kind_name(root->kind));
        return;
    }
    for (const Json *m = root->child; m; m = m->next)
        if (m->repeated)
            mistakes_add(&r->mistakes, r->name, m->key_line, m->key_column, "the key \"%.100s\" stands twice", m->key);
        else if (!json_is_comment(m->key) && strcmp(m->key, "schema") && strcmp(m->key, "generate") && strcmp(m->key, "understand"))
            mistakes_add(&r->mistakes, r->name, m->key_line, m->key_column, "unknown key \"%.100s\", expected schema, generate, understand",
                         m->key);
    if (!schema || schema->kind != JSON_STRING || strcmp(schema->string, SCHEMA))
        mistake(r, schema ? schema : root, "\"schema\" must be \"%s\"", SCHEMA);
    read_task(r, q, TASK_GENERATE, root);
    read_task(r, q, TASK_UNDERSTAND, root);
}

static Status parse(JsonDoc **doc, const char *file)
{
    size_t n;
    const char *text = file ? NULL : built_in(BUILT_IN, &n);
    return file ? json_read_settings(doc, file) : json_parse(doc, text, n, BUILT_IN);
}

Status requests_load(Requests *q, const char *file)
{
    JsonDoc *doc;
    Reader r = {.name = file ? file : BUILT_IN};
    *q = (Requests){0};
    Status s = parse(&doc, file);
    if (s)
        return s == ERR_DATA ? fail(ERR_USAGE, "%s", status_message()) : s;
    read_document(&r, q, json_root(doc));
    json_free(&doc);
    s = mistakes_end(&r.mistakes, ERR_USAGE, r.name);
    if (s)
        requests_free(q);
    return s;
}

void requests_free(Requests *q)
{
    for (int t = 0; t < N_TASKS; t++) {
        for (int i = 0; i < q->n[t]; i++)
            mem_free(q->text[t][i]);
        mem_free(q->text[t]);
    }
    *q = (Requests){0};
}

const char *requests_for(const Requests *q, Task as, const char *uid)
{
    return q->text[as][XXH3_64bits(uid, strlen(uid)) % (uint64_t)q->n[as]];
}
