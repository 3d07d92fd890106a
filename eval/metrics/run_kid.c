/* run_kid.c: evaluate kid: the kernel distance of two sets of pictures, or of their features (commands.h). Called by evaluate. */
#include <inttypes.h>
#include <stdio.h>

#include "data/formats/json_write.h"
#include "eval/metrics/commands.h"
#include "eval/metrics/kid.h"
#include "eval/metrics/sets.h"
#include "kernels/base/log.h"

static CliList words;
static SetNetwork network = {.command = "evaluate kid", .flag = "--inception FILE"};
static KidOptions options = {.subsets = 100, .size = 1000, .seed = 42};
static int format;
static const char *const FORMATS[] = {"text", "json", NULL};
static const CliOption OPTIONS[] = {
    SET_INCEPTION(network),
    SET_DEVICE(network),
    {"--subsets", CLI_INT, &options.subsets, "N", "the mean of so many subsets (default 100)", 1, 1000000, NULL, false},
    {"--subset-size", CLI_INT, &options.size, "N", "so many pictures of each set (default 1000; fewer where a set has fewer)", 2,
     20000, NULL, false},
    {"--seed", CLI_INT, &options.seed, "N", "of which pictures are in them (default 42)", 0, 9e18, NULL, false},
    {"--format", CLI_CHOICE, &format, "text|json", "a line, or one JSON object", 0, 0, FORMATS, false},
    {0}};

static Status tell(const Kid *k, const FeatureSet *a, const FeatureSet *b)
{
    if (format == 0 && !log_is_json()) {
        fprintf(stdout, "KID %.6f, deviation %.6f (%" PRId64 " subsets of %" PRId64 "; %" PRId64 " features)\n", k->mean, k->deviation,
                k->subsets, k->size, a->d);
        return OK;
    }
    cJSON *o = cJSON_CreateObject();
    json_add_text(o, "metric", "kid");
    json_add_int(o, "n", a->n);
    json_add_int(o, "n_reference", b->n);
    json_add_int(o, "dim", a->d);
    json_add_int(o, "subsets", k->subsets);
    json_add_int(o, "subset_size", k->size);
    json_add_real(o, "kid", k->mean);
    json_add_real(o, "deviation", k->deviation);
    return json_print(stdout, &o, JSON_LINE, "evaluate");
}

static Status compare(char paths[SETS][PATH_MAX])
{
    FeatureSet a, b;
    Kid kid;
    TRY(feature_set_open(&a, paths[0]));
    a.path = words.items[0];
    Status s = feature_set_open(&b, paths[1]);
    if (!s) {
        b.path = words.items[1];
        s = kid_distance(&kid, &a, &b, &options);
        if (!s)
            s = tell(&kid, &a, &b);
        feature_set_close(&b);
    }
    feature_set_close(&a);
    return s;
}

Status metrics_kid(int argc, char **argv)
{
    const CliProgram program = {.name = "evaluate",
                                .summary = "Kernel inception distance of two sets: folders of pictures, or files of features (.npy [n, d]; "
                                           ".h5 with /feat [n, d]). Unbiased MMD² with the kernel (x·y/d + 1)³, a mean over subsets.",
                                .usage = "evaluate kid PICTURES PICTURES --inception FILE [--format json]\n"
                                         "       evaluate kid FEATURES FEATURES [--format json]",
                                .options = OPTIONS,
                                .positional = "SET",
                                .words = &words};
    char paths[SETS][PATH_MAX];
    bool done;
    TRY(cli_parse(&program, argc, argv, &done));
    if (done)
        return OK;
    if (words.n != SETS)
        return fail(ERR_USAGE, "evaluate kid needs two sets, folders of pictures or files of features, has %d; evaluate kid --help shows "
                               "all options", words.n);
    Status s = sets_open(paths, &words, &network);
    if (!s)
        s = compare(paths);
    sets_remove();
    return s;
}
