/* sources.c: files of the public layouts. The first byte says which kind of file the rest is, and whether its source keeps one row a
 * picture and filters. What comes out as a good row is written as a unified one, which must be JSON. */
#include <limits.h>
#include <stdio.h>

#include "data/formats/json.h"
#include "data/records/format.h"
#include "data/records/records.h"
#include "data/records/requests.h"
#include "data/records/unified.h"
#include "kernels/base/arena.h"
#include "tests/fuzz/fuzz.h"

static const struct {
    const char *format;
    Task as;
    const char *file;
} KINDS[] = {
    {"llava", TASK_UNDERSTAND, "rows.json"},         {"sharegpt4v", TASK_GENERATE, "rows.json"},
    {"captions", TASK_GENERATE, "coco.json"},        {"captions", TASK_UNDERSTAND, "table.tsv"},
    {"captions", TASK_UNDERSTAND, "captions.jsonl"}, {"laion-gpt4v", TASK_GENERATE, "rows.jsonl"},
};
enum { N_KINDS_OF_FILES = sizeof KINDS / sizeof *KINDS };

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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static Requests requests;
    char name[] = "source", score[] = "clip", path[PATH_MAX], *files[1] = {path};
    MixtureFilter filter = {score, 0.2, 1};
    RecordReader *reader;
    if (!n)
        return 0;
    if (!requests.n[TASK_GENERATE])
        fuzz_require(requests_load(&requests, NULL));
    const int kind = data[0] % N_KINDS_OF_FILES, choice = data[0] / N_KINDS_OF_FILES;
    MixtureSource source = {.name = name,
                            .format = format_named(KINDS[kind].format),
                            .files = files,
                            .n_files = 1,
                            .as = KINDS[kind].as,
                            .requests = &requests,
                            .each = choice & 1,
                            .weight = 1,
                            .filters = choice & 2 ? &filter : NULL,
                            .n_filters = choice & 2 ? 1 : 0};
    Mixture mixture = {.sources = &source, .n_sources = 1};
    snprintf(path, sizeof path, "%s", fuzz_put(KINDS[kind].file, data + 1, n - 1));
    fuzz_require(records_open(&reader, &mixture));
    const Record *rec = NULL;
    Status s = OK;
    while (!(s = records_next(reader, &rec)) && rec)
        if (!rec->reject)
            check_good(rec);
    fuzz_check(s);
    records_close(&reader);
    return 0;
}
