/* answers.c: what `evaluate` scores: answers, and after a NUL those that came before. */
#include "tests/fuzz/fuzz.h"

#include "eval/exact.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    const uint8_t *nul = n ? memchr(data, 0, n) : NULL;
    const char *answers = fuzz_put("answers.jsonl", data, nul ? (size_t)(nul - data) : n);
    char *argv[6] = {(char[]){"evaluate"}, (char[]){"--answers"}, (char *)(uintptr_t)answers,
                     (char[]){"--before"}};
    if (nul)
        argv[4] = (char *)(uintptr_t)fuzz_put("before.jsonl", nul + 1, n - (size_t)(nul - data) - 1);
    args.answers = args.before = NULL;
    fuzz_check(exact_run(nul ? 5 : 3, argv));
    return 0;
}
