/* published.c: see published.h. Called by suite.c. */
#include "eval/published.h"

#include <math.h>

#include "data/built_in.h"

Status published_read(JsonDoc **doc)
{
    static const char NAME[] = "published.json";
    size_t n;
    const char *text = built_in(NAME, &n);
    return json_parse(doc, text, n, NAME);
}

const Json *published_model(const JsonDoc *doc, int i)
{
    const Json *models = json_get(json_root(doc), "models"), *m = models ? models->child : NULL;
    while (m && i--)
        m = m->next;
    return m;
}

double published_score(const Json *model, const char *bench)
{
    const Json *score = json_get(json_get(model, "scores"), bench);
    return score ? score->real : NAN;
}
