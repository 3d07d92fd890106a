/* A set of sketches as files. sketches.json is written last and says what the set was made with. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "data/formats/file.h"
#include "data/formats/json_write.h"
#include "data/pictures/png_write.h"
#include "kernels/base/arena.h"
#include "kernels/base/log.h"
#include "tools/worlds/set_files.h"
#include "tools/worlds/sketches.h"

typedef struct Split {
    const SketchSet *set;
    const char *name; /* "train" */
    SketchSplit split;
    uint8_t *rgb;
    FileDraft rows;
} Split;

static Status write_picture(const Split *p, const Sketch *s, const char *image)
{
    char path[PATH_MAX];
    sketch_draw(p->rgb, s, (int32_t)p->set->size);
    Image picture = {.width = (int32_t)p->set->size, .height = (int32_t)p->set->size, .rgb = p->rgb};
    uint8_t *png;
    size_t n;
    TRY(png_encode(&png, &n, &picture, NULL, 0));
    Status status = file_write(file_join(path, p->set->out, image), png, n);
    mem_free(png);
    return status;
}

static Status add_picture(cJSON *images, const Split *p, const Sketch *s, int64_t number, bool target)
{
    char image[64];
    snprintf(image, sizeof image, "%s/%06" PRId64 "%s.png", p->name, number, target ? "" : "-before");
    cJSON *o = json_add(images, NULL, cJSON_CreateObject());
    cJSON_AddStringToObject(o, "path", image);
    cJSON_AddStringToObject(o, "role", target ? "target" : "input");
    return write_picture(p, s, image);
}

static void add_turns(cJSON *row, const char *ask, bool pictured)
{
    cJSON *turns = cJSON_AddArrayToObject(row, "turns");
    char text[SKETCH_TEXT + 16];
    snprintf(text, sizeof text, "%s%s", pictured ? "<image>\n" : "", ask);
    set_add_turn(turns, "human", text);
    set_add_turn(turns, "gpt", "<gen>");
}

static void add_wishes(cJSON *row, const Sketch *s)
{
    cJSON *want = cJSON_AddObjectToObject(row, "want");
    for (int t = 0; t < SKETCH_TRAITS; t++)
        cJSON_AddStringToObject(want, sketch_trait_name((SketchTrait)t), sketch_value_name((SketchTrait)t, s->trait[t]));
}

static Status fill_row(cJSON *row, const Split *p, int64_t number)
{
    SceneRandom r = scene_random((uint64_t)p->set->seed, p->split == SKETCH_HELDOUT, (uint64_t)number);
    SketchSplit split = p->set->all ? SKETCH_ANY : p->split;
    bool edits = number & 1;
    char text[SKETCH_TEXT];
    Sketch before, s;
    SketchTrait change = SKETCH_TRAITS;
    sketch_compose(&s, &r, split);
    if (edits && split == SKETCH_HELDOUT) { /* what comes of it is held out; from where it starts, any kind of change leads there */
        change = sketch_change(&before, &s, &r, SKETCH_ANY);
    } else if (edits) {
        before = s;
        change = sketch_change(&s, &before, &r, split);
    }
    snprintf(text, sizeof text, "sketches-%s/%06" PRId64, p->name, number);
    cJSON_AddStringToObject(row, "uid", text);
    cJSON_AddStringToObject(row, "task", edits ? "edit" : "generate");
    cJSON *images = cJSON_AddArrayToObject(row, "images");
    if (edits)
        TRY(add_picture(images, p, &before, number, false));
    TRY(add_picture(images, p, &s, number, true));
    if (edits)
        sketch_ask_to_change(text, &before, &s, change, &r);
    else
        sketch_ask_to_draw(text, &s, &r);
    add_turns(row, text, edits);
    cJSON *sd = cJSON_AddObjectToObject(row, "sd");
    if (edits)
        sketch_instruction(text, &s, change);
    else
        sketch_caption(text, &s);
    cJSON_AddStringToObject(sd, edits ? "instruction" : "prompt", text);
    add_wishes(row, &s);
    if (edits)
        cJSON_AddStringToObject(row, "change", sketch_trait_name(change));
    return OK;
}

static Status write_rows(Split *p, int64_t count)
{
    Status s = OK;
    for (int64_t i = 0; i < count && !s; i++) {
        cJSON *row = cJSON_CreateObject();
        s = fill_row(row, p, i);
        if (s)
            cJSON_Delete(row);
        else
            s = json_print(p->rows.out, &row, JSON_LINE, p->rows.path);
        if (i % 500 == 0)
            log_progress("%s: %" PRId64 " of %" PRId64 " rows", p->name, i, count);
    }
    return file_publish(&p->rows, s);
}

static Status write_split(const SketchSet *set, SketchSplit split, uint8_t *rgb)
{
    Split p = {.set = set, .name = split == SKETCH_HELDOUT ? "heldout" : "train", .split = split, .rgb = rgb};
    char path[PATH_MAX];
    TRY(file_make_folders(file_join(path, set->out, p.name)));
    TRY(file_draft(&p.rows, file_join(path, set->out, split == SKETCH_HELDOUT ? "heldout.jsonl" : "train.jsonl")));
    return write_rows(&p, split == SKETCH_HELDOUT ? set->heldout : set->count);
}

static Status write_splits(const void *set, uint8_t *rgb)
{
    TRY(write_split(set, SKETCH_TRAIN, rgb));
    return write_split(set, SKETCH_HELDOUT, rgb);
}

Status sketches_write(const SketchSet *set)
{
    cJSON *summary = set_summary("genllava.sketches/1", set->count, set->heldout, set->size, set->seed);
    bool done;
    cJSON_AddBoolToObject(summary, "all", set->all);
    TRY(set_write(set->out, "sketches.json", &summary, set->size, write_splits, set, &done));
    log_info("%s: %" PRId64 " training and %" PRId64 " held-out rows%s", set->out, set->count, set->heldout,
             done ? " are there already" : "");
    return OK;
}
