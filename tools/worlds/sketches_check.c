/* Judging drawn and changed pictures by what their rows want. */
#include <stdio.h>
#include <string.h>

#include "data/formats/file.h"
#include "data/formats/json.h"
#include "data/pictures/image.h"
#include "kernels/base/arena.h"
#include "tools/worlds/sketches.h"

enum { MAX_ROWS = 1 << 24, MAX_PICTURE = 1 << 20, REQUESTS = 2 };
static const char *const TASKS[REQUESTS] = {"generate", "edit"};

typedef struct Judged {
    bool edits, kept, one;
    int want[SKETCH_TRAITS], got[SKETCH_TRAITS];
} Judged;

typedef struct Tally {
    int rows, one, trait[SKETCH_TRAITS], kept, all;
    int64_t pairs, lucky; /* chance: pictures that show what another row wants */
} Tally;

static Status load_picture(Image *out, const char *folder, const char *name)
{
    char path[PATH_MAX], *bytes;
    size_t n;
    Reject reject;
    TRY(file_read(&bytes, &n, file_join(path, folder, name), MAX_PICTURE));
    Status s = image_decode(out, (const uint8_t *)bytes, n, SKETCH_SIDE_MAX * SKETCH_SIDE_MAX, &reject);
    mem_free(bytes);
    if (!s && out->width != out->height) {
        s = fail(ERR_DATA, "%s is %dx%d pixels, not a square", path, out->width, out->height);
        image_free(out);
    }
    return s;
}

static const char *text_of(const Json *o, const char *key)
{
    const Json *v = json_get(o, key);
    return v && v->kind == JSON_STRING ? v->string : "";
}

static Status read_want(Judged *j, const Json *row, const char *name, int line)
{
    for (int t = 0; t < SKETCH_TRAITS; t++) {
        const char *trait = sketch_trait_name((SketchTrait)t), *want = text_of(json_get(row, "want"), trait), *value;
        int k = 0;
        while ((value = sketch_value_name((SketchTrait)t, k)) && strcmp(value, want))
            k++;
        if (!value)
            return fail(ERR_DATA, "%s:%d: want.%s is \"%.40s\", which is none that sketches writes", name, line, trait, want);
        j->want[t] = k;
    }
    return OK;
}

static Status read_change(SketchTrait *change, const Json *row, const char *name, int line)
{
    int t = 0;
    while (t < SKETCH_TRAITS && strcmp(sketch_trait_name((SketchTrait)t), text_of(row, "change")))
        t++;
    *change = (SketchTrait)t;
    return t < SKETCH_TRAITS ? OK
                             : fail(ERR_DATA, "%s:%d: change is \"%.40s\", not what sketches writes", name, line, text_of(row, "change"));
}

/* Whether an edit left the rest as it was. */
static Status judge_rest(Judged *j, const Image *got, const Json *row, const char *rows, int line, SketchSheet *sheet)
{
    char root[PATH_MAX];
    Image before;
    SketchTrait change;
    TRY(read_change(&change, row, rows, line));
    TRY(load_picture(&before, file_folder(root, rows), text_of(json_get(row, "images")->child, "path")));
    Status s = OK;
    if (before.width != got->width)
        s = fail(ERR_DATA, "%s:%d: the picture is %d pixels wide, the one to change %d", rows, line, got->width, before.width);
    else
        j->kept = sketch_kept(before.rgb, got->rgb, got->width, change);
    if (!s && sheet)
        s = sketch_sheet_add(sheet, &before, got);
    image_free(&before);
    return s;
}

static Status judge_row(Judged *j, const Json *row, const char *rows, int line, const char *folder, SketchSheet *sheet)
{
    static SketchReading reading;
    const Json *images = json_get(row, "images"), *target = images ? images->child : NULL;
    *j = (Judged){.edits = !strcmp(text_of(row, "task"), TASKS[1]), .kept = true};
    if (target && j->edits)
        target = target->next;
    if (!target)
        return fail(ERR_DATA, "%s:%d: it names no target picture", rows, line);
    TRY(read_want(j, row, rows, line));
    const char *path = text_of(target, "path"), *slash = strrchr(path, '/');
    Image got;
    TRY(load_picture(&got, folder, slash ? slash + 1 : path));
    sketch_read(&reading, got.rgb, got.width);
    j->one = reading.objects == 1;
    memcpy(j->got, reading.trait, sizeof j->got);
    Status s = j->edits ? judge_rest(j, &got, row, rows, line, sheet) : sheet ? sketch_sheet_add(sheet, NULL, &got) : OK;
    image_free(&got);
    return s;
}

static bool shows(const Judged *j, const int *want) { return j->one && !memcmp(j->got, want, sizeof j->got); }

static void count_row(Tally *t, const Judged *j)
{
    t->rows++;
    t->one += j->one;
    for (int k = 0; k < SKETCH_TRAITS; k++)
        t->trait[k] += j->got[k] == j->want[k];
    t->kept += j->kept;
    t->all += j->kept && shows(j, j->want);
}

static void print_tally(FILE *out, const Tally *t, int task)
{
    if (!t->rows)
        return;
    fprintf(out, "%-8s %5d pictures  right %.3f  chance %.3f  one %.3f", TASKS[task], t->rows, (double)t->all / t->rows,
            t->pairs ? (double)t->lucky / (double)t->pairs : 0, (double)t->one / t->rows);
    for (int k = 0; k < SKETCH_TRAITS; k++)
        fprintf(out, "  %s %.3f", sketch_trait_name((SketchTrait)k), (double)t->trait[k] / t->rows);
    if (task)
        fprintf(out, "  kept %.3f", (double)t->kept / t->rows);
    fprintf(out, "\n");
}

static void print_wrong(FILE *out, const Judged *j, const Json *row)
{
    if (j->kept && shows(j, j->want))
        return;
    fprintf(out, "%s:%s%s", text_of(row, "uid"), j->one ? "" : " not one object", j->kept ? "" : " the rest has changed");
    for (int k = 0; k < SKETCH_TRAITS; k++) {
        const char *got = sketch_value_name((SketchTrait)k, j->got[k]);
        if (j->got[k] != j->want[k])
            fprintf(out, " %s, not %s", got ? got : "nothing clear", sketch_value_name((SketchTrait)k, j->want[k]));
    }
    fprintf(out, "\n");
}

static void print_all(FILE *out, const Judged *judged, int n)
{
    Tally tally[REQUESTS] = {0};
    for (int i = 0; i < n; i++) {
        Tally *t = &tally[judged[i].edits];
        count_row(t, &judged[i]);
        for (int k = 0; k < n; k++)
            if (k != i && judged[k].edits == judged[i].edits) {
                t->pairs++;
                t->lucky += judged[i].kept && shows(&judged[i], judged[k].want);
            }
    }
    for (int task = 0; task < REQUESTS; task++)
        print_tally(out, &tally[task], task);
}

static Status judge_all(FILE *out, char *text, const char *rows, const char *folder, bool each, SketchSheet *sheet)
{
    Judged *judged = NULL;
    int n = 0;
    Status s = OK;
    for (char *line = text, *end; *line && !s; line = end) {
        end = line + strcspn(line, "\n");
        JsonDoc *doc;
        Judged *more = mem_grow(judged, (size_t)(n + 1) * sizeof *judged);
        s = more ? json_parse_at(&doc, line, (size_t)(end - line), rows, n + 1, 1) : fail(ERR_NOMEM, "no memory for %d rows", n);
        judged = more ? more : judged;
        if (!s) {
            s = judge_row(&judged[n], json_root(doc), rows, n + 1, folder, sheet);
            if (!s && each)
                print_wrong(out, &judged[n], json_root(doc));
            json_free(&doc);
            n++;
        }
        end += *end == '\n';
    }
    if (!s)
        print_all(out, judged, n);
    mem_free(judged);
    return s;
}

Status sketches_check(FILE *out, const char *rows, const char *folder, bool each, const char *sheet)
{
    char *text;
    size_t n;
    SketchSheet shown = {.n = {0}};
    TRY(file_read(&text, &n, rows, MAX_ROWS));
    Status s = judge_all(out, text, rows, folder, each, sheet ? &shown : NULL);
    if (!s && sheet)
        s = sketch_sheet_write(&shown, sheet);
    image_free(&shown.sheet);
    mem_free(text);
    return s;
}
