/* magicbrush.c: MagicBrush: edited pictures against their goals, each turn by itself (all_turn) and after all turns (final_turn). Official:
 * image_eval.py and the folders that it reads.
 *
 * Goals lie in ID/ as ...output1.png to ...outputN.png; edits as ID_1.png (the first turn), ID_inde_K.png (turn K from the goal before it)
 * and ID_iter_K.png (turn K from the edit before it). The official script takes every name with "_1" in it for the first turn, so it stops
 * at ten turns; here a first turn is a name that ends so. */
#include <ctype.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "data/formats/file.h"
#include "eval/bench/magicbrush.h"
#include "eval/metrics/pixels.h"
#include "kernels/base/arena.h"

/* ---------------------------------------------------------------- names in a folder */

typedef struct Names {
    const char **item;
    int n, room;
} Names;

static Status add_name(Names *names, Pool *pool, const char *name)
{
    if (names->n == names->room) {
        const int room = 2 * names->room + 64;
        const char **grown = mem_grow(names->item, (size_t)room * sizeof *grown);
        if (!grown)
            return fail(ERR_NOMEM, "no memory for %d names", room);
        names->item = grown;
        names->room = room;
    }
    names->item[names->n++] = span_copy(pool, span_of(name)).s;
    return pool_status(pool);
}

typedef struct Listing {
    Names *names;
    Pool *pool;
    const char *path;
} Listing;

static Status add_folder(void *arg, const char *name)
{
    const Listing *l = arg;
    struct stat st;
    char path[PATH_MAX];
    const bool is_folder = !stat(file_join(path, l->path, name), &st) && S_ISDIR(st.st_mode);
    return is_folder ? add_name(l->names, l->pool, name) : OK;
}

static Status add_picture(void *arg, const char *name)
{
    const Listing *l = arg;
    const bool wanted = (strstr(name, ".png") || strstr(name, ".jpg")) && !strstr(name, "mask");
    return wanted ? add_name(l->names, l->pool, name) : OK;
}

/* What orders turns: all digits of a name, one behind the other, as a number. */
static int by_digits(const void *a, const void *b)
{
    char digits[2][NAME_MAX + 1];
    const char *names[2] = {*(const char *const *)a, *(const char *const *)b}, *number[2];
    for (int i = 0; i < 2; i++) {
        int n = 0;
        for (const char *c = names[i]; *c && n < NAME_MAX; c++)
            if (isdigit((unsigned char)*c))
                digits[i][n++] = *c;
        digits[i][n] = 0;
        number[i] = digits[i] + strspn(digits[i], "0");
    }
    const size_t x = strlen(number[0]), y = strlen(number[1]);
    const int order = x != y ? (x > y) - (x < y) : strcmp(number[0], number[1]);
    return order ? order : strcmp(names[0], names[1]);
}

/* Puts the names that are wanted in front, in the order of turns; returns how many. */
static int keep(Names *names, const Names *of, bool (*is_wanted)(const char *name))
{
    names->n = 0;
    for (int i = 0; i < of->n; i++)
        if (is_wanted(of->item[i]))
            names->item[names->n++] = of->item[i];
    if (names->n)
        qsort(names->item, (size_t)names->n, sizeof *names->item, by_digits);
    return names->n;
}

static bool is_goal(const char *name) { return strstr(name, "output") != NULL; }
static bool is_iterated(const char *name) { return strstr(name, "iter_") != NULL; }

static bool is_first(const char *name)
{
    const char *end = strrchr(name, '.');
    return end - name >= 2 && !strncmp(end - 2, "_1", 2) && !is_iterated(name) && !strstr(name, "inde_");
}

static bool is_single_turn(const char *name) { return is_first(name) || strstr(name, "inde_"); }

/* ---------------------------------------------------------------- pairs */

typedef struct Sums {
    PixelSums pixels;
    NetworkSums networks;
} Sums;

typedef struct Work {
    Pool pool;
    Names listed[2], turns[2]; /* of goals and edits: all pictures; those of a kind */
    const char *goals, *made;  /* folders */
    int64_t limit;
    Networks *features;
    Sums all, final;
} Work;

static Status list(Names *out, Pool *pool, const char *folder, FileVisit add)
{
    out->n = 0;
    return file_list(folder, add, &(Listing){out, pool, folder});
}

/* Of an id: folders of its goals and edits, and the names of a picture in each. */
static Status compare(Work *w, Sums *sums, const char *id, const char *made, const char *edit, const char *goals, const char *goal)
{
    char a[PATH_MAX], b[PATH_MAX];
    Pixels p;
    TRY(pixels_compare_files(&p, file_join(a, made, edit), file_join(b, goals, goal), false));
    pixels_add(&sums->pixels, &p);
    return networks_add(w->features, &sums->networks, file_join(a, id, edit));
}

/* The pictures of one id. */
static Status add_pairs(Work *w, const char *id, const char *goals, const char *made)
{
    Names *goal = &w->turns[0], *edit = &w->turns[1];
    TRY(list(&w->listed[0], &w->pool, goals, add_picture));
    TRY(list(&w->listed[1], &w->pool, made, add_picture));
    for (int i = 0; i < 2; i++) {
        const int room = w->listed[i].n + 1;
        const char **grown = mem_grow(w->turns[i].item, (size_t)room * sizeof *grown);
        if (!grown)
            return fail(ERR_NOMEM, "no memory for %d names", room);
        w->turns[i].item = grown;
    }
    const int n_goals = keep(goal, &w->listed[0], is_goal), n_edits = keep(edit, &w->listed[1], is_single_turn);
    if (!n_goals)
        return fail(ERR_DATA, "%s: has no picture with \"output\" in its name, which goals have", goals);
    if (n_goals != n_edits)
        return fail(ERR_DATA, "%s: has %d edits of single turns (ID_1.png, ID_inde_K.png), but %s has %d goals", made, n_edits, goals,
                    n_goals);
    for (int i = 0; i < n_goals; i++)
        TRY(compare(w, &w->all, id, made, edit->item[i], goals, goal->item[i]));
    if (w->listed[1].n > 1 && !keep(edit, &w->listed[1], is_iterated))
        return fail(ERR_DATA, "%s: has no edit after all turns (ID_iter_K.png)", made);
    return compare(w, &w->final, id, made, edit->item[edit->n - 1], goals, goal->item[n_goals - 1]);
}

/* With a limit only so many were asked for: leaves the goals of those that are there. */
static void keep_asked(Names *goals, const Names *edits, int64_t limit)
{
    int n = 0;
    if (!limit || edits->n != (limit < goals->n ? limit : goals->n))
        return;
    for (int i = 0, k = 0; i < goals->n && k < edits->n; i++)
        if (!strcmp(goals->item[i], edits->item[k])) {
            goals->item[n++] = goals->item[i];
            k++;
        }
    goals->n = n == edits->n ? n : goals->n;
}

/* Names of goals and edits must be the same. */
static Status check_ids(const Names *goals, const Names *edits, const Work *w)
{
    for (int i = 0, k = 0; i < goals->n || k < edits->n; i++, k++) {
        const int order = i == goals->n ? 1 : k == edits->n ? -1 : strcmp(goals->item[i], edits->item[k]);
        if (order)
            return fail(ERR_DATA, "%s: has no folder \"%s\", which %s has", order < 0 ? w->made : w->goals,
                        order < 0 ? goals->item[i] : edits->item[k], order < 0 ? w->goals : w->made);
    }
    return goals->n ? OK : fail(ERR_DATA, "%s: holds no folders of goals", w->goals);
}

static Status add_all(Work *w, Names *goals, Names *edits)
{
    Pool ids = {0};
    char from[PATH_MAX], made[PATH_MAX];
    Status s = list(goals, &ids, w->goals, add_folder);
    if (!s)
        s = list(edits, &ids, w->made, add_folder);
    if (!s) {
        keep_asked(goals, edits, w->limit);
        s = check_ids(goals, edits, w);
    }
    for (int i = 0; i < goals->n && !s; i++) {
        pool_reset(&w->pool);
        s = add_pairs(w, goals->item[i], file_join(from, w->goals, goals->item[i]), file_join(made, w->made, goals->item[i]));
    }
    pool_free(&ids);
    return s;
}

static void add_network(Scores *s, const Work *w, const Sums *sums, NetworkMetric m, const char *of, const char *key)
{
    if (networks_know(w->features, m))
        scores_add(s, networks_mean(&sums->networks, m), "%s/%s", of, key);
}

static void add_scores(Scores *s, const Work *w, const Sums *sums, const char *of)
{
    const Pixels mean = pixels_mean(&sums->pixels);
    scores_add(s, mean.l1, "%s/l1", of);
    scores_add(s, mean.l2, "%s/l2", of);
    scores_add(s, (double)sums->pixels.n, "%s/n", of);
    add_network(s, w, sums, METRIC_CLIP_I, of, "clip-i");
    add_network(s, w, sums, METRIC_DINO, of, "dino");
    add_network(s, w, sums, METRIC_CLIP_T, of, "clip-t");
    add_network(s, w, sums, METRIC_CLIP_T_ORACLE, of, "clip-t-oracle");
}

static Status score(const BenchData *d, const char *made, Networks *f, Scores *s)
{
    char path[PATH_MAX];
    const char *below = magicbrush_images(d);
    Work w = {.goals = *below ? official_path(path, d, "images") : d->dir, .made = made, .limit = d->limit, .features = f};
    Names goals = {0}, edits = {0};
    Status status = add_all(&w, &goals, &edits);
    if (!status) {
        add_scores(s, &w, &w.all, "all_turn");
        add_scores(s, &w, &w.final, "final_turn");
        s->n = w.all.pixels.n;
    }
    for (int i = 0; i < 2; i++) {
        mem_free(w.listed[i].item);
        mem_free(w.turns[i].item);
    }
    mem_free(goals.item);
    mem_free(edits.item);
    pool_free(&w.pool);
    return status;
}

const Bench BENCH_MAGICBRUSH = {.name = "magicbrush",
                                .split = "test",
                                .files = "[images/]ID/ID-outputK.png (goals), edit_sessions.json (to ask); --answers: ID/ID_1.png, "
                                         "ID_inde_K.png, ID_iter_K.png",
                                .pictures = "of goals and edits",
                                .suffix = "",
                                .metric = "L1 and L2 (mean square), CLIP-I, DINO and CLIP-T, all turns and the final turn",
                                .networks = "clip-made clip-goal clip-text dino-made dino-goal",
                                .of_openai = true,
                                .drawings = magicbrush_drawings,
                                .score_pictures = score};
