/* run_fid.c: evaluate fid: the distance of two sets of pictures, or of their features (commands.h). Called by evaluate. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "data/formats/json_write.h"
#include "eval/metrics/commands.h"
#include "eval/metrics/fid.h"
#include "eval/metrics/sets.h"
#include "kernels/base/cli.h"
#include "kernels/base/log.h"

static CliList words;
static SetNetwork network = {.command = "evaluate fid", .flag = "--inception FILE"};
static int format;
static const char *const FORMATS[] = {"text", "json", NULL};
static const CliOption OPTIONS[] = {SET_INCEPTION(network),
                                    SET_DEVICE(network),
                                    {"--format", CLI_CHOICE, &format, "text|json", "a line, or one JSON object", 0, 0, FORMATS, false},
                                    {0}};

static void add_count(cJSON *o, const char *key, int64_t n)
{
    if (n)
        json_add_int(o, key, n);
    else
        json_add(o, key, cJSON_CreateNull());
}

static Status tell(const FidStatistics *a, const FidStatistics *b, double distance)
{
    fid_warn_of_few(a);
    fid_warn_of_few(b);
    if (format == 0 && !log_is_json()) {
        fprintf(stdout, "FID %.4f (%" PRId64 " features)\n", distance, a->d);
        return OK;
    }
    cJSON *o = cJSON_CreateObject();
    json_add_text(o, "metric", "fid");
    add_count(o, "n", a->n);
    add_count(o, "n_reference", b->n);
    json_add_int(o, "dim", a->d);
    json_add_real(o, "fid", distance);
    return json_print(stdout, &o, JSON_LINE, "evaluate");
}

/* Messages name what was given, not the file that was made of it. */
static Status open_statistics(FidStatistics *s, const char *path, const char *word)
{
    Status status = fid_statistics(s, path);
    s->path = word;
    return strcmp(path, word) ? fail_context(status, "%s", word) : status;
}

static Status measure(void)
{
    char paths[SETS][PATH_MAX];
    FidStatistics a = {0}, b = {0};
    double distance;
    Status s = sets_open(paths, &words, &network);
    if (!s)
        s = open_statistics(&a, paths[0], words.items[0]);
    if (!s)
        s = open_statistics(&b, paths[1], words.items[1]);
    if (!s)
        s = fid_distance(&distance, &a, &b);
    if (!s)
        s = tell(&a, &b, distance);
    fid_free(&a);
    fid_free(&b);
    sets_remove();
    return s;
}

Status metrics_fid(int argc, char **argv)
{
    const CliProgram program = {.name = "evaluate",
                                .summary = "Fréchet inception distance of two sets: folders of pictures, files of features (.npy [n, d]; "
                                           ".h5 with /feat [n, d]), or of their statistics (.npz with mu [d] and sigma [d, d]).",
                                .usage = "evaluate fid PICTURES PICTURES --inception FILE [--format json]\n"
                                         "       evaluate fid FEATURES FEATURES [--format json]",
                                .options = OPTIONS,
                                .positional = "SET",
                                .words = &words};
    bool done;
    TRY(cli_parse(&program, argc, argv, &done));
    if (done)
        return OK;
    if (words.n != 2)
        return fail(ERR_USAGE,
                    "evaluate fid needs two sets, folders of pictures or files of features, has %d; evaluate fid --help shows all options",
                    words.n);
    return measure();
}
