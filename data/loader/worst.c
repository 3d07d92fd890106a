/* worst.c: keeps the candidates for the largest pass (worst.h). Called by the loader. */
#include "data/loader/worst.h"

#include <stdbool.h>
#include <stddef.h>

/* Where the measures lie; target_size is the same for all passes of a run. */
#define AT(member) offsetof(PassShape, member)
static const size_t MEASURES[] = {AT(tokens),   AT(segments), AT(images), AT(labels), AT(max_segment),
                                  AT(generate), AT(edit),     AT(target_pictures), AT(source_pictures)};
#undef AT
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
