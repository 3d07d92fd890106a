/* sources.c: files of the public layouts. The first byte says which kind of file the rest is, and whether its source keeps one row a
 * picture or prompt and filters. What comes out as a good row is written as a unified one, which must be JSON. */
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "data/formats/file.h"
#include "data/formats/json.h"
#include "data/records/format.h"
#include "data/records/records.h"
#include "data/records/requests.h"
#include "data/records/unified.h"
#include "kernels/base/arena.h"
#include "tests/fuzz/fuzz.h"

#define ROOT "edits" /* of the layouts that are a folder */

static const struct {
    const char *format;
    Task as;
    const char *file; /* the one that the input is */
} LAYOUTS[] = {
    {"llava", TASK_UNDERSTAND, "rows.json"},
    {"sharegpt4v", TASK_GENERATE, "rows.json"},
    {"captions", TASK_GENERATE, "coco.json"},
    {"captions", TASK_UNDERSTAND, "table.tsv"},
    {"captions", TASK_UNDERSTAND, "captions.jsonl"},
    {"laion-gpt4v", TASK_GENERATE, "rows.jsonl"},
    {"instructpix2pix", TASK_EDIT, ROOT "/seeds.json"},
    {"instructpix2pix", TASK_EDIT, ROOT "/0000000/prompt.json"},
    {"instructpix2pix", TASK_EDIT, ROOT "/0000000/metadata.jsonl"},
    {"magicbrush", TASK_EDIT, ROOT "/edit_sessions.json"},
    {"magicbrush", TASK_EDIT, ROOT "/global_descriptions.json"},
    {"folder", TASK_GENERATE, ROOT "/cat.txt"},
};
enum { N_LAYOUTS = sizeof LAYOUTS / sizeof *LAYOUTS };

/* The folder as it is but for the file that the input replaces. */
static const struct {
    const char *file, *text;
} WORLD[] = {
    {ROOT "/seeds.json", "[[\"0000000\", [\"7\", \"10\"]]]"},
    {ROOT "/0000000/prompt.json", "{\"input\": \"a cat\", \"edit\": \"make it a dog\", \"output\": \"a dog\"}"},
    {ROOT "/0000000/metadata.jsonl", "{\"seed\": 7, \"clip_sim_dir\": 0.3}\n{\"seed\": 10, \"clip_sim_dir\": 0.25}\n"},
    {ROOT "/0000000/7_0.jpg", ""},
    {ROOT "/0000000/7_1.jpg", ""},
    {ROOT "/0000000/10_0.jpg", ""},
    {ROOT "/0000000/10_1.jpg", ""},
    {ROOT "/cat.jpg", ""},
    {ROOT "/cat.txt", "a cat"},
    {ROOT "/edit_sessions.json", "{\"33471\": [{\"input\": \"33471-input.png\", \"instruction\": \"add a hat\"}, "
                                 "{\"instruction\": \"and a scarf\"}]}"},
    {ROOT "/global_descriptions.json", "{\"33471\": {\"33471-output1.png\": \"a man with a hat\"}}"},
    {ROOT "/images/33471/33471-input.png", ""},
    {ROOT "/images/33471/33471-output1.png", ""},
    {ROOT "/images/33471/33471-mask1.png", ""},
    {ROOT "/images/33471/33471-output2.png", ""},
};

static void put_world(void)
{
    char folder[PATH_MAX];
    for (size_t i = 0; i < sizeof WORLD / sizeof *WORLD; i++) {
        fuzz_require(file_make_folders(file_folder(folder, fuzz_path(WORLD[i].file))));
        fuzz_put(WORLD[i].file, WORLD[i].text, strlen(WORLD[i].text));
    }
}

static void put_back(const char *file)
{
    for (size_t i = 0; i < sizeof WORLD / sizeof *WORLD; i++)
        if (!strcmp(WORLD[i].file, file))
            fuzz_put(file, WORLD[i].text, strlen(WORLD[i].text));
}

static void check_good(const Record *rec)
{
    char *text = NULL;
    size_t n = 0;
    JsonDoc *doc;
    FILE *out = open_memstream(&text, &n);
    unified_write(out, rec, "a source", "/a/root");
    fclose(out);
    fuzz_require(json_parse(&doc, text, n, "a unified row"));
    json_free(&doc);
    mem_free(text);
}

static void read_all(const Mixture *mixture)
{
    RecordReader *reader;
    const Record *rec = NULL;
    Status s = OK;
    fuzz_require(records_open(&reader, mixture));
    while (!(s = records_next(reader, &rec)) && rec)
        if (!rec->reject)
            check_good(rec);
    fuzz_check(s);
    records_close(&reader);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static Requests requests;
    char name[] = "source", split[] = "train", of_rows[] = "clip", of_pairs[] = "clip_sim_dir", path[PATH_MAX], *files[1] = {path};
    if (!n)
        return 0;
    if (!requests.n[TASK_GENERATE]) {
        fuzz_require(requests_load(&requests, NULL));
        put_world();
    }
    const int kind = data[0] % N_LAYOUTS, choice = data[0] / N_LAYOUTS;
    const Format *format = format_named(LAYOUTS[kind].format);
    const bool folder = format->keys & KEY_ROOT;
    MixtureFilter filter = {folder ? of_pairs : of_rows, 0.2, 1};
    MixtureSource source = {.name = name,
                            .format = format,
                            .files = files,
                            .n_files = 1,
                            .image_root = folder ? path : NULL,
                            .split = folder ? split : NULL,
                            .as = LAYOUTS[kind].as,
                            .requests = &requests,
                            .each = choice & 1,
                            .weight = 1,
                            .filters = choice & 2 ? &filter : NULL,
                            .n_filters = choice & 2 ? 1 : 0};
    snprintf(path, sizeof path, "%s", fuzz_put(LAYOUTS[kind].file, data + 1, n - 1));
    if (folder)
        snprintf(path, sizeof path, "%s", fuzz_path(ROOT));
    read_all(&(Mixture){.sources = &source, .n_sources = 1});
    put_back(LAYOUTS[kind].file);
    return 0;
}
