/* added_tokens.c: reads added_tokens.json and the added_tokens of tokenizer.json (added_tokens.h). */
#include "data/text/added_tokens.h"

#include <stdlib.h>
#include <string.h>

#include "data/formats/file.h"
#include "data/formats/json_fields.h"
#include "kernels/base/arena.h"

enum { MOST_TOKENS = 1 << 17 };

static Status add(AddedTokens *a, const char *file, const char *text, int64_t id)
{
    if (a->n == MOST_TOKENS)
        return fail(ERR_DATA, "%s: more than %d added tokens", file, MOST_TOKENS);
    if ((a->n & (a->n - 1)) == 0) { /* full: room for twice as many */
        AddedToken *more = mem_grow(a->item, (size_t)(a->n ? 2 * a->n : 1) * sizeof *more);
        if (!more)
            return fail(ERR_NOMEM, "%s: no memory for its added tokens", file);
        a->item = more;
    }
    char *copy = mem_strdup(text);
    if (!copy)
        return fail(ERR_NOMEM, "%s: no memory for its added tokens", file);
    a->item[a->n++] = (AddedToken){copy, (int32_t)id};
    return OK;
}

/* {"[I2T]": 32000} */
static Status read_object(AddedTokens *a, JsonFields *f)
{
    for (const Json *e = f->top->child; e && !f->status; e = e->next) {
        char shown[64];
        if (e->kind != JSON_INT || e->integer < 0 || e->integer >= INT32_MAX)
            fields_refuse(f, e, e->key, "is %s, expected the id of an added token", json_show(e, shown, sizeof shown));
        else
            TRY(add(a, f->file, e->key, e->integer));
    }
    return f->status;
}

/* "added_tokens": [{"id": 32000, "content": "[I2T]", …}] */
static Status read_list(AddedTokens *a, JsonFields *f)
{
    const Json *list = fields_get(f->top, "added_tokens");
    if (list && list->kind != JSON_ARRAY)
        fields_refuse(f, list, "added_tokens", "is %s, expected an array", json_kind_name(list->kind));
    for (const Json *e = list ? list->child : NULL; e && !f->status; e = e->next) {
        const char *text = fields_string(f, e, "content", NULL);
        int64_t id = fields_int(f, e, "id", FIELD_REQUIRED, 0, INT32_MAX - 1);
        if (!f->status && !text)
            fields_refuse(f, e, "content", "is missing: it is the text of added token %lld", (long long)id);
        if (!f->status)
            TRY(add(a, f->file, text, id));
    }
    return f->status;
}

static Status read_file(AddedTokens *a, const char *folder, const char *name, Status (*read)(AddedTokens *, JsonFields *))
{
    char path[PATH_MAX];
    JsonFields f;
    if (!file_exists(file_join(path, folder, name)))
        return OK;
    TRY(fields_open(&f, folder, name));
    Status s = f.status ? f.status : read(a, &f);
    fields_close(&f);
    return s;
}

static int by_text(const void *a, const void *b) { return strcmp(((const AddedToken *)a)->text, ((const AddedToken *)b)->text); }

static int by_id(const void *a, const void *b)
{
    const AddedToken *x = a, *y = b;
    return x->id != y->id ? (x->id > y->id) - (x->id < y->id) : by_text(a, b);
}

static Status sort(AddedTokens *a, const char *folder)
{
    int32_t kept = 0;
    if (a->n)
        qsort(a->item, (size_t)a->n, sizeof *a->item, by_text);
    for (int32_t i = 1; i < a->n; i++)
        if (!by_text(&a->item[i - 1], &a->item[i]) && a->item[i - 1].id != a->item[i].id)
            return fail(ERR_DATA, "%s: the added token \"%s\" has two ids, %d and %d (added_tokens.json, tokenizer.json)", folder,
                        a->item[i].text, a->item[i - 1].id, a->item[i].id);
    if (a->n)
        qsort(a->item, (size_t)a->n, sizeof *a->item, by_id);
    for (int32_t i = 0; i < a->n; i++) {
        if (kept && !by_id(&a->item[kept - 1], &a->item[i])) { /* in both files */
            mem_free(a->item[i].text);
            continue;
        }
        a->item[kept++] = a->item[i];
    }
    a->n = kept;
    for (int32_t i = 1; i < a->n; i++)
        if (a->item[i - 1].id == a->item[i].id)
            return fail(ERR_DATA, "%s: the added tokens \"%s\" and \"%s\" have one id, %d (added_tokens.json, tokenizer.json)", folder,
                        a->item[i - 1].text, a->item[i].text, a->item[i].id);
    return OK;
}

Status added_tokens_read(AddedTokens *out, const char *folder)
{
    *out = (AddedTokens){0};
    Status s = read_file(out, folder, "added_tokens.json", read_object);
    if (!s)
        s = read_file(out, folder, "tokenizer.json", read_list);
    if (!s)
        s = sort(out, folder);
    if (s)
        added_tokens_free(out);
    return s;
}

void added_tokens_free(AddedTokens *a)
{
    for (int32_t i = 0; i < a->n; i++)
        mem_free(a->item[i].text);
    mem_free(a->item);
    *a = (AddedTokens){0};
}
