/* slips.c: see slips.h. */
#include "data/records/slips.h"

#include <string.h>

#include "kernels/base/cli.h"

static bool is_null(const Json *v) { return !v || v->kind == JSON_NULL; }

/* The first key of an object that resembles one of n. */
static void find_slip(Record *rec, const Json *o, const char *const *keys, int n, bool same_letter)
{
    enum { SHORTEST = 4 };
    for (const Json *m = o ? o->child : NULL; m && !rec->slip; m = m->next) {
        bool known = !m->key || strlen(m->key) < SHORTEST || json_is_comment(m->key);
        for (int i = 0; i < n && !known; i++)
            known = !strcmp(m->key, keys[i]);
        const char *near = known ? NULL : cli_nearest(m->key, keys, n);
        if (!near || json_get(o, near) || (same_letter && *near != *m->key))
            continue;
        rec->slip = m->key;
        rec->meant = near;
    }
}

void slips_of_unified(Record *rec, const Json *row)
{
    static const char *const KEYS[] = {"schema", "uid",    "source", "task",   "split",  "images", "turns",
                                       "sd",     "scores", "prov",   "weight", "system", "id"};
    static const char *const SD_KEYS[] = {"prompt", "src_prompt", "instruction"};
    const Json *sd = json_get(row, "sd");
    find_slip(rec, row, KEYS, sizeof KEYS / sizeof *KEYS, false);
    if (sd && sd->kind == JSON_OBJECT)
        find_slip(rec, sd, SD_KEYS, sizeof SD_KEYS / sizeof *SD_KEYS, false);
}

/* A task that is nearly one of ours; others may mean something else by the word. */
static const char *task_note(const Json *task)
{
    static const char *const NOTES[N_TASKS] = {
        [TASK_UNDERSTAND] = "its \"task\" is none of understand, generate and edit, and is passed over; did you mean \"understand\"?",
        [TASK_GENERATE] = "its \"task\" is none of understand, generate and edit, and is passed over; did you mean \"generate\"?",
        [TASK_EDIT] = "its \"task\" is none of understand, generate and edit, and is passed over; did you mean \"edit\"?",
    };
    const char *near = task && task->kind == JSON_STRING && task->length > 3 ? cli_nearest(task->string, TASK_NAMES, N_TASKS) : NULL;
    for (int t = 0; near && t < N_TASKS; t++)
        if (!strcmp(near, TASK_NAMES[t]) && *near == *task->string && strcmp(near, task->string) != 0)
            return NOTES[t];
    return NULL;
}

static bool is_one(const Json *v) { return (v->kind == JSON_INT || v->kind == JSON_REAL) && v->real == 1; }

void slips_of_row(Record *rec, const Json *row)
{
    const Json *conversations = json_get(row, "conversations"), *messages = json_get(row, "messages"), *weight = json_get(row, "weight");
    const char *keys[5] = {"system"};
    int n = 1;
    if (is_null(conversations) && is_null(messages)) {
        keys[n++] = "conversations";
        keys[n++] = "messages";
    }
    if (!json_get(row, "image") && !json_get(row, "images")) {
        keys[n++] = "image";
        keys[n++] = "images";
    }
    find_slip(rec, row, keys, n, true);
    if (!rec->note)
        rec->note = task_note(json_get(row, "task"));
    if (!rec->note && !is_null(conversations) && !is_null(messages))
        rec->note = "it has \"conversations\" and \"messages\": only the former are read";
    if (!rec->note && !is_null(weight) && !is_one(weight))
        rec->note = "its \"weight\" is passed over: only that of unified rows (\"turns\") is read";
}
