/* official.c: reads the official files of benchmarks (bench.h). Called by the benchmarks. */
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <string.h>

#include "data/formats/file.h"
#include "data/formats/rows.h"
#include "eval/bench/bench.h"

char *official_path(char *path, const BenchData *d, const char *name, ...)
{
    char file[PATH_MAX];
    va_list args;
    va_start(args, name);
    vsnprintf(file, sizeof file, name, args);
    va_end(args);
    return file_join(path, d->dir, file);
}

Status official_json(JsonDoc **doc, const char *path)
{
    TRY(json_read_python(doc, path));
    const Json *root = json_root(*doc);
    if (root->kind == JSON_OBJECT)
        return OK;
    Status s = fail(ERR_DATA, "%s:%d:%d: is %s, expected an object", path, root->line, root->column, json_kind_name(root->kind));
    json_free(doc);
    return s;
}

Status official_get(const Json **out, const Json *object, const char *key, JsonKind kind, const char *where)
{
    const Json *v = json_get(object, key);
    char found[96];
    *out = v;
    if (v && v->kind == kind)
        return OK;
    const Json *at = v ? v : object;
    return fail(ERR_DATA, "%s:%d:%d: \"%s\" is %s, expected %s", where, at->line, at->column, key,
                v ? json_show(v, found, sizeof found) : "absent", json_kind_name(kind));
}

Status official_text(Span *out, const Json *object, const char *key, const char *where)
{
    const Json *v;
    TRY(official_get(&v, object, key, JSON_STRING, where));
    *out = (Span){v->string, v->length};
    return OK;
}

Status official_int(int64_t *out, const Json *object, const char *key, const char *where)
{
    const Json *v;
    TRY(official_get(&v, object, key, JSON_INT, where));
    *out = v->integer;
    return OK;
}

Status official_id(Pool *p, Span *out, bool *number, const Json *object, const char *key, const char *where)
{
    const Json *v = json_get(object, key);
    *number = v && v->kind == JSON_INT;
    if (*number) {
        *out = span_print(p, "%" PRId64, v->integer);
        return pool_status(p);
    }
    return official_text(out, object, key, where);
}

static Status parse_row(JsonDoc **doc, const char *path, const Row *row)
{
    if (row->error)
        return fail(ERR_DATA, "%s:%s", path, row->error);
    TRY(json_parse_at(doc, row->text, row->n, path, row->line, row->column));
    const JsonKind kind = json_root(*doc)->kind;
    if (kind == JSON_OBJECT)
        return OK;
    json_free(doc);
    return fail(ERR_DATA, "%s:%d:%d: is %s, expected an object", path, row->line, row->column, json_kind_name(kind));
}

static Status visit_row(const char *path, const Row *row, RowVisit visit, void *arg)
{
    JsonDoc *doc;
    TRY(parse_row(&doc, path, row));
    Status s = visit(arg, json_root(doc));
    json_free(&doc);
    return s;
}

static Status visit_member(const char *path, const Row *row, MemberVisit visit, void *arg)
{
    JsonDoc *doc;
    if (!row->error && row->element)
        return fail(ERR_DATA, "%s:%d:%d: \"%s\" is an array, expected an object", path, row->line, row->column, row->key);
    TRY(parse_row(&doc, path, row));
    Status s = visit(arg, row->key, json_root(doc));
    json_free(&doc);
    return s;
}

Status official_members(const char *path, MemberVisit visit, void *arg)
{
    Rows *rows;
    Row row;
    bool end = false;
    TRY(rows_open(&rows, path, ROWS_MEMBERS));
    Status s = OK;
    while (!s && !(s = rows_next(rows, &row, &end)) && !end)
        s = visit_member(path, &row, visit, arg);
    rows_close(&rows);
    return s;
}

Status official_rows(const char *path, const char *member, RowVisit visit, void *arg)
{
    Rows *rows;
    Row row;
    bool end = false, any = false;
    TRY(rows_open(&rows, path, member ? ROWS_MEMBERS : ROWS_LINES_OR_ARRAY));
    Status s = OK;
    while (!s && !(s = rows_next(rows, &row, &end)) && !end) {
        if (member && !row.error && (!row.element || strcmp(row.key, member)))
            continue;
        any = true;
        s = visit_row(path, &row, visit, arg);
    }
    rows_close(&rows);
    if (!s && !any)
        return fail(ERR_DATA, "%s: holds no %s%s%s", path, member ? "\"" : "rows", member ? member : "",
                    member ? "\", an array of objects" : "");
    return s;
}
