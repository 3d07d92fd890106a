/* worst.c: keeps the candidates for the largest pass (worst.h). Called by the loader. */
#include "data/loader/worst.h"

#include <stdbool.h>
#include <stddef.h>

/* Where the measures lie; target_size is the same for all passes of a run. */
static const size_t MEASURES[] = {
    offsetof(PassShape, tokens),      offsetof(PassShape, segments), offsetof(PassShape, images),          offsetof(PassShape, labels),
    offsetof(PassShape, max_segment), offsetof(PassShape, generate), offsetof(PassShape, edit),            offsetof(PassShape, target_pictures),
    offsetof(PassShape, source_pictures)};
enum { N_MEASURES = sizeof MEASURES / sizeof *MEASURES };

static int32_t measure(const PassShape *s, int i) { return *(const int32_t *)(const void *)((const char *)s + MEASURES[i]); }

/* Does a need at least what b needs, by every measure? */
static bool covers(const PassShape *a, const PassShape *b)
{
    bool all = true;
    for (int i = 0; i < N_MEASURES; i++)
        all = all && measure(a, i) >= measure(b, i);
    return all;
}

static void enlarge(PassShape *a, const PassShape *b)
{
    for (int i = 0; i < N_MEASURES; i++)
        if (measure(b, i) > measure(a, i))
            *(int32_t *)(void *)((char *)a + MEASURES[i]) = measure(b, i);
}

void worst_add(WorstPasses *w, const PassShape *s)
{
    int kept = 0;
    for (int i = 0; i < w->n; i++)
        if (covers(&w->list[i], s))
            return;
    for (int i = 0; i < w->n; i++)
        if (!covers(s, &w->list[i]))
            w->list[kept++] = w->list[i];
    if (kept == WORST_MOST)
        enlarge(&w->list[kept - 1], s);
    else
        w->list[kept++] = *s;
    w->n = kept;
}

void worst_merge(WorstPasses *w, const PassShape *s)
{
    PassShape all = *s;
    for (int i = 0; i < w->n; i++)
        enlarge(&all, &w->list[i]);
    w->list[0] = all;
    w->n = 1;
}
