/* outputs.c: writes the files of ingest and filter, which appear together (outputs.h). */
#include "data/curate/outputs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "data/formats/json_write.h"
#include "kernels/base/utf8.h"

static const char ENDING[] = ".jsonl";

/* ---------------------------------------------------------------- names */

static const char *last_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static void retry_path(const Outputs *o, char path[PATH_MAX], int k) { snprintf(path, PATH_MAX, "%.4000s.retry-%05d.jsonl", o->base, k); }

static void rejects_path(const Outputs *o, char path[PATH_MAX]) { snprintf(path, PATH_MAX, "%.4000s.rejects.jsonl", o->base); }

/* The number in "BEFORE.retry-NNNNN.jsonlAFTER", written as retry_path does, or -1. */
static int retry_number(const char *name, const char *before, const char *after)
{
    const size_t n = strlen(before);
    char ours[64];
    int number;
    if (strncmp(name, before, n) || sscanf(name + n, ".retry-%9d", &number) != 1)
        return -1;
    snprintf(ours, sizeof ours, ".retry-%05d.jsonl%s", number, after);
    return strcmp(name + n, ours) ? -1 : number;
}

/* ---------------------------------------------------------------- what is there already */

typedef struct Sweep {
    char folder[PATH_MAX], hidden[PATH_MAX]; /* hidden: how names of drafts begin */
    const char *name;                        /* how those of retry files do */
    int first;                               /* older retry files from this number on go; -1: drafts do */
} Sweep;

static Status sweep_name(void *arg, const char *name)
{
    Sweep *w = arg;
    char path[PATH_MAX];
    const bool goes = w->first < 0 ? retry_number(name, w->hidden, ".new") >= 0 : retry_number(name, w->name, "") >= w->first;
    return goes ? file_remove(file_join(path, w->folder, name)) : OK;
}

/* first: see Sweep. */
static Status sweep(const Outputs *o, int first)
{
    Sweep w = {.first = first};
    w.name = last_name(o->base);
    file_folder(w.folder, o->base);
    snprintf(w.hidden, sizeof w.hidden, ".%.4000s", w.name);
    return file_list(w.folder, sweep_name, &w);
}

/* A file or nothing: what else stands there is not replaced. */
static Status check_place(const char *path)
{
    struct stat st;
    if (lstat(path, &st) || S_ISREG(st.st_mode) || S_ISLNK(st.st_mode))
        return OK;
    return fail(ERR_CREATE, "%s: is %s, expected a file to replace", path, file_kind(st.st_mode));
}

static Status open_draft(FileDraft *d, const char *path)
{
    TRY(check_place(path));
    return file_draft(d, path);
}

/* ---------------------------------------------------------------- the files */

Status outputs_open(Outputs *o, const char *path, int64_t max_lines, int64_t max_bytes)
{
    char rejects[PATH_MAX], folder[PATH_MAX];
    struct stat st;
    *o = (Outputs){.retries = max_lines > 0, .max_lines = max_lines, .max_bytes = max_bytes};
    const size_t n = strlen(path);
    if (!strcmp(path, "-"))
        return fail(ERR_USAGE, "--out names a file: others are written beside it, so it cannot be standard output");
    if (!n || n > PATH_MAX - 100 || path[n - 1] == '/')
        return fail(ERR_CREATE, "--out \"%.100s\": is no name of a file", path);
    snprintf(o->path, sizeof o->path, "%s", path);
    snprintf(o->base, sizeof o->base, "%.*s", (int)(utf8_ends(path, ENDING) ? n - strlen(ENDING) : n), path);
    rejects_path(o, rejects);
    if (stat(file_folder(folder, path), &st))
        return fail(ERR_CREATE, "%s: cannot be created: %s: %s", path, folder, strerror(errno));
    if (o->retries)
        TRY(sweep(o, -1));
    Status s = open_draft(&o->records, path);
    if (!s)
        s = open_draft(&o->rejects, rejects);
    return s ? outputs_close(o, s) : OK;
}

Status outputs_spare(const Outputs *o, const char *input)
{
    char folder[PATH_MAX], real_folder[PATH_MAX], real[PATH_MAX], rejects[PATH_MAX];
    if (!realpath(input, real) || !realpath(file_folder(folder, o->path), real_folder) || strcmp(file_folder(folder, real), real_folder))
        return OK;
    rejects_path(o, rejects);
    const char *name = last_name(real);
    if (strcmp(name, last_name(o->path)) && strcmp(name, last_name(rejects)) && retry_number(name, last_name(o->base), "") < 0)
        return OK;
    return fail(ERR_USAGE, "%s: is read, and --out %s would replace or remove it; give another --out", input, o->path);
}

Status outputs_retry(Outputs *o, int64_t n, FILE **out)
{
    char path[PATH_MAX];
    if (n > o->max_bytes)
        return fail(ERR_DATA, "a request to send again has %lld bytes, and a file at most %lld (--max-bytes)", (long long)n,
                    (long long)o->max_bytes);
    if (!o->retry.out || o->lines == o->max_lines || o->bytes + n > o->max_bytes) {
        TRY(file_settle(&o->retry, OK));
        retry_path(o, path, o->n_files);
        TRY(open_draft(&o->retry, path));
        o->n_files++;
        o->lines = o->bytes = 0;
    }
    o->lines++;
    o->bytes += n;
    *out = o->retry.out;
    return OK;
}

static void put_member(FILE *out, const char *before, const char *text)
{
    fputs(before, out);
    json_put_text(out, text, strlen(text));
}

void outputs_reject(Outputs *o, const char *custom_id, const char *uid, const Verdict *v)
{
    FILE *out = o->rejects.out;
    fputc('{', out);
    if (custom_id)
        put_member(out, "\"custom_id\":", custom_id);
    put_member(out, custom_id ? ",\"uid\":" : "\"uid\":", uid);
    put_member(out, ",\"stage\":", stage_name(reason_stage(v->reason)));
    put_member(out, ",\"reason\":", reason_name(v->reason));
    if (custom_id)
        fputs(v->retry ? ",\"retry\":true" : ",\"retry\":false", out);
    put_member(out, ",\"message\":", v->message);
    fputs("}\n", out);
}

static Status check_stream(const FileDraft *d)
{
    return d->out && ferror(d->out) ? fail(ERR_IO, "%s: cannot be written: %s", d->path, strerror(errno)) : OK;
}

Status outputs_check(const Outputs *o)
{
    TRY(check_stream(&o->records));
    TRY(check_stream(&o->rejects));
    return check_stream(&o->retry);
}

/* The records come last: when they are there, so is all else. */
static Status reveal(const Outputs *o)
{
    char path[PATH_MAX];
    for (int k = 0; k < o->n_files; k++) {
        retry_path(o, path, k);
        TRY(file_reveal(path));
    }
    if (o->retries)
        TRY(sweep(o, o->n_files));
    rejects_path(o, path);
    TRY(file_reveal(path));
    return file_reveal(o->path);
}

Status outputs_close(Outputs *o, Status s)
{
    char path[PATH_MAX];
    s = file_settle(&o->retry, s);
    s = file_settle(&o->rejects, s);
    s = file_settle(&o->records, s);
    if (!s)
        s = reveal(o);
    if (!s)
        return OK;
    for (int k = 0; k < o->n_files; k++) {
        retry_path(o, path, k);
        file_withdraw(path);
    }
    rejects_path(o, path);
    file_withdraw(path);
    file_withdraw(o->path);
    return s;
}
