/* run_pixels.c: evaluate pixels: pictures against their goals, pair by pair (commands.h). Called by evaluate. */
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>

#include "data/formats/file.h"
#include "data/formats/json_write.h"
#include "data/formats/rows.h"
#include "eval/features/lpips.h"
#include "eval/features/picture_net.h"
#include "eval/metrics/commands.h"
#include "eval/metrics/pixels.h"
#include "kernels/base/cli.h"
#include "kernels/base/log.h"

static struct {
    const char *pairs, *lpips;
    int format, device;
} args;

static Lpips *network; /* NULL: LPIPS is not asked for */

static const char *const FORMATS[] = {"text", "json", NULL};
static const CliOption OPTIONS[] = {
    {"--pairs", CLI_STRING, &args.pairs, "FILE",
     "a line a pair: {\"id\", \"a\": picture, \"b\": its goal}; paths begin at the file's folder (-: standard input)", 0, 0, NULL, false},
    {"--format", CLI_CHOICE, &args.format, "text|json", "means for people, or one JSON object with every pair", 0, 0, FORMATS, false},
    {"--lpips", CLI_STRING, &args.lpips, "FILE.safetensors", "the state of the lpips package's LPIPS(net=\"alex\"): adds LPIPS, of "
                                                             "goals of 31 pixels a side or more", 0, 0, NULL, false},
    {"--device", CLI_CHOICE, &args.device, "auto|cpu|cuda", "where LPIPS is computed", 0, 0, PICTURE_NET_DEVICES, false},
    {0}};

/* lpips: of a pair, or the mean. */
static void add_numbers(cJSON *to, const Pixels *p, double lpips)
{
    json_add_real(to, "l1", p->l1);
    json_add_real(to, "l2", p->l2);
    json_add_real(to, "psnr", p->psnr);
    json_add_real(to, "ssim", p->ssim);
    if (network)
        json_add_real(to, "lpips", lpips);
}

static const char *text_of(const Json *o, const char *key)
{
    const Json *v = json_get(o, key);
    return v && v->kind == JSON_STRING && v->length ? v->string : NULL;
}

static char *path_of(char path[PATH_MAX], const char *folder, const char *name)
{
    if (*name != '/')
        return file_join(path, folder, name);
    snprintf(path, PATH_MAX, "%s", name);
    return path;
}

/* Over the pairs so far. */
typedef struct Sums {
    PixelSums pixels;
    double lpips;
} Sums;

static Status add_pair(cJSON *list, Sums *sums, const Json *o, const Row *row)
{
    char folder[PATH_MAX], a[PATH_MAX], b[PATH_MAX];
    const char *file = file_name(args.pairs), *from = text_of(o, "a"), *goal = text_of(o, "b");
    const Json *id = json_get(o, "id");
    Pixels p;
    if (!from || !goal || !id || (id->kind != JSON_STRING && id->kind != JSON_INT))
        return fail(ERR_DATA, "%s:%d: needs \"id\" (text or an integer), \"a\" and \"b\" (paths of pictures)", file, row->line);
    file_folder(folder, args.pairs);
    double lpips = 0;
    TRY_IN(pixels_compare_files(&p, path_of(a, folder, from), path_of(b, folder, goal), true), "%s:%d", file, row->line);
    if (network)
        TRY_IN(lpips_files(network, a, b, &lpips), "%s:%d", file, row->line);
    cJSON *one = json_add(list, NULL, cJSON_CreateObject());
    json_add_value(one, "id", id);
    add_numbers(one, &p, lpips);
    pixels_add(&sums->pixels, &p);
    sums->lpips += lpips;
    return OK;
}

static Status add_row(cJSON *list, Sums *sums, const Row *row)
{
    JsonDoc *doc;
    if (row->error)
        return fail(ERR_DATA, "%s:%s", file_name(args.pairs), row->error);
    TRY(json_parse_at(&doc, row->text, row->n, file_name(args.pairs), row->line, row->column));
    Status s = add_pair(list, sums, json_root(doc), row);
    json_free(&doc);
    return s;
}

static Status read_pairs(cJSON *list, Sums *sums)
{
    Rows *rows;
    Row row;
    bool end = false;
    TRY(rows_open(&rows, args.pairs, ROWS_LINES));
    Status s = OK;
    while (!s && !(s = rows_next(rows, &row, &end)) && !end)
        s = add_row(list, sums, &row);
    rows_close(&rows);
    return s || sums->pixels.n ? s : fail(ERR_DATA, "%s: holds no pairs", file_name(args.pairs));
}

static Status tell(cJSON **list, const Sums *all)
{
    const PixelSums *sums = &all->pixels;
    const Pixels mean = pixels_mean(sums);
    const double lpips = all->lpips / (double)sums->n;
    if (args.format == 0 && !log_is_json()) {
        fprintf(stdout, "%" PRId64 " pairs: L1 %.4f, L2 %.4f", sums->n, mean.l1, mean.l2);
        fprintf(stdout, sums->n_psnr ? ", PSNR %.2f" : ", PSNR -", mean.psnr);
        fprintf(stdout, sums->n_ssim ? ", SSIM %.4f" : ", SSIM -", mean.ssim);
        fprintf(stdout, network ? ", LPIPS %.4f\n" : "\n", lpips);
        return OK;
    }
    cJSON *o = cJSON_CreateObject();
    json_add_text(o, "metric", "pixels");
    json_add_int(o, "n", sums->n);
    add_numbers(o, &mean, lpips);
    json_add(o, "per_image", *list);
    *list = NULL;
    return json_print(stdout, &o, JSON_LINE, "evaluate");
}

Status metrics_pixels(int argc, char **argv)
{
    const CliProgram program = {.name = "evaluate",
                                .summary = "Compares pictures with their goals: L1, L2 (mean square), PSNR, SSIM, LPIPS.",
                                .usage = "evaluate pixels --pairs FILE.jsonl [--lpips FILE.safetensors] [--format json]",
                                .options = OPTIONS};
    bool done;
    TRY(cli_parse(&program, argc, argv, &done));
    if (done)
        return OK;
    if (!args.pairs)
        return fail(ERR_USAGE, "evaluate pixels needs --pairs FILE.jsonl; evaluate pixels --help shows all options");
    Sums sums = {.lpips = 0};
    if (args.lpips)
        TRY(lpips_open(&network, args.lpips, (DeviceChoice)args.device));
    cJSON *list = cJSON_CreateArray();
    Status s = read_pairs(list, &sums);
    if (!s)
        s = tell(&list, &sums);
    cJSON_Delete(list);
    lpips_close(&network);
    return s;
}
