/* unified.c: see unified.h. */
#include "data/records/unified.h"

#include <inttypes.h>
#include <string.h>

#include "data/formats/json_write.h"
#include "kernels/base/utf8.h"

static void put_bytes(FILE *out, const char *before, const char *text, size_t n)
{
    fputs(before, out);
    json_put_text(out, text, n);
}

/* `before` comes with the key; a text that is not there leaves both out. */
static void put(FILE *out, const char *before, const char *text)
{
    if (text)
        put_bytes(out, before, text, strlen(text));
}

/* Members of an object behind its opening: a comma before each but the first. */
typedef struct Members {
    FILE *out;
    bool any;
} Members;

static FILE *member(Members *m, const char *key)
{
    fprintf(m->out, "%s\"%s\":", m->any ? "," : "", key);
    m->any = true;
    return m->out;
}

static void text_member(Members *m, const char *key, const char *text)
{
    if (text)
        put(member(m, key), "", text);
}

static void put_images(FILE *out, const Record *rec, const char *root)
{
    fputs(",\"images\":[", out);
    for (int i = 0; i < rec->n_images; i++) {
        const char *path = rec->images[i].path;
        fputs(i ? ",{\"path\":\"" : "{\"path\":\"", out);
        if (root && *path != '/') {
            utf8_put(out, root, strlen(root), UTF8_JSON);
            fputs(*root && root[strlen(root) - 1] == '/' ? "" : "/", out);
        }
        utf8_put(out, path, strlen(path), UTF8_JSON);
        fprintf(out, "\",\"role\":\"%s\"}", ROLE_NAMES[rec->images[i].role]);
    }
    fputc(']', out);
}

static void put_turns(FILE *out, const Record *rec)
{
    if (rec->system.length)
        put_bytes(out, ",\"system\":", rec->system.text, rec->system.length);
    fputs(",\"turns\":[", out);
    for (int i = 0; i < rec->n_turns; i++) {
        fputs(i ? "," : "", out);
        put_bytes(out, rec->turns[i].human ? "{\"from\":\"human\",\"value\":" : "{\"from\":\"gpt\",\"value\":", rec->turns[i].text,
                  rec->turns[i].length);
        fputc('}', out);
    }
    fputc(']', out);
}

static void put_diffusion(FILE *out, const Record *rec)
{
    Members m = {.out = out};
    if (!rec->sd_prompt && !rec->sd_src_prompt && !rec->sd_instruction)
        return;
    fputs(",\"sd\":{", out);
    text_member(&m, "prompt", rec->sd_prompt);
    text_member(&m, "src_prompt", rec->sd_src_prompt);
    text_member(&m, "instruction", rec->sd_instruction);
    fputc('}', out);
}

static void put_scores(FILE *out, const Record *rec)
{
    Members m = {.out = out};
    if (!rec->n_scores)
        return;
    fputs(",\"scores\":{", out);
    for (int i = 0; i < rec->n_scores; i++) {
        fputs(m.any ? "," : "", out);
        m.any = true;
        put(out, "", rec->scores[i].name);
        fputc(':', out);
        json_put_real(out, rec->scores[i].value);
    }
    fputc('}', out);
}

static void put_provenance(FILE *out, const RecordProvenance *p)
{
    Members m = {.out = out};
    if (!p->file && p->index < 0 && !p->license && !p->curator && !p->model && !p->template_sha256 && !p->request)
        return;
    fputs(",\"prov\":{", out);
    text_member(&m, "file", p->file);
    if (p->index >= 0)
        fprintf(member(&m, "index"), "%" PRId64, p->index);
    text_member(&m, "license", p->license);
    text_member(&m, "curator", p->curator);
    text_member(&m, "model", p->model);
    text_member(&m, "template", p->template_sha256);
    text_member(&m, "request", p->request);
    fputc('}', out);
}

void unified_write(FILE *out, const Record *rec, const char *source, const char *root)
{
    fputs("{\"schema\":\"" UNIFIED_SCHEMA "\"", out);
    put(out, ",\"uid\":", rec->uid);
    put(out, ",\"source\":", source);
    put(out, ",\"task\":", TASK_NAMES[rec->task]);
    put(out, ",\"split\":", rec->split);
    put_images(out, rec, root);
    put_turns(out, rec);
    put_diffusion(out, rec);
    put_scores(out, rec);
    put_provenance(out, &rec->prov);
    if (rec->weight != 1) {
        fputs(",\"weight\":", out);
        json_put_real(out, (double)rec->weight);
    }
    fputc('}', out);
}
