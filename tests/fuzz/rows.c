/* rows.c: rows of a data file, as lines and as an array, and what they say: LLaVA's records and unified ones. */
#include "data/formats/rows.h"

#include <limits.h>
#include <stdio.h>

#include "data/records/format.h"
#include "data/records/records.h"
#include "tests/fuzz/fuzz.h"

static void read_rows(const char *path, RowsForm form)
{
    Rows *rows;
    Row row;
    bool end = false;
    fuzz_require(rows_open(&rows, path, form));
    Status s = OK;
    while (!(s = rows_next(rows, &row, &end)) && !end) {}
    fuzz_check(s);
    rows_close(&rows);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    char name[] = "rows", root[] = "/tmp", score[] = "quality", *files[1];
    char path[PATH_MAX];
    MixtureFilter filter = {score, 0.5, 2};
    MixtureSource source = {.name = name, .format = &FORMATS[0], .files = files, .n_files = 1, .image_root = root, .weight = 1};
    Mixture mixture = {.sources = &source, .n_sources = 1};
    RecordReader *records;
    const Record *record = NULL;
    const bool filtered = n && data[0] == ' ', lines = n && data[0] == '{';
    snprintf(path, sizeof path, "%s", fuzz_put(lines ? "rows.jsonl" : "rows.json", data, n));
    files[0] = path;
    if (filtered) {
        source.filters = &filter;
        source.n_filters = 1;
    }
    read_rows(path, ROWS_LINES);
    read_rows(path, ROWS_LINES_OR_ARRAY);
    fuzz_require(records_open(&records, &mixture));
    Status s;
    while (!(s = records_next(records, &record)) && record) {}
    fuzz_check(s);
    records_close(&records);
    return 0;
}
