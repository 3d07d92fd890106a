/* journal.c: the journal of a folder of shards (manifest.jsonl) and its list of pictures. What the journal holds is written again. */
#include "data/prepare/parts.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    Journal m;
    bool found;
    char changed[PATH_MAX + 64];
    if (n < 1)
        return 0;
    if (data[0] & 1) {
        fuzz_put("pictures.list", data + 1, n - 1);
        fuzz_check(pictures_check(fuzz_path(""), changed, sizeof changed));
        return 0;
    }
    fuzz_put("manifest.jsonl", data + 1, n - 1);
    Status s = journal_read(&m, fuzz_path(""), &found);
    fuzz_check(s);
    if (!s && found) {
        static const Mixture NONE;
        const PrepareOptions o = {.mixture = &NONE, .report = fuzz_path("report.json")};
        fuzz_check(journal_tell(fuzz_path("manifest.jsonl"), &m.outcome, &o, "the end"));
        fuzz_check(journal_write(&m, fuzz_path(""), NULL));
    }
    journal_free(&m);
    return 0;
}
