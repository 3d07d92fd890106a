/* subjects.c: records that requests are made of, and the fields that their text asks for. The first byte says of which kind the recipe is.
 */
#include "data/curate/subjects.h"

#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    char user[] = "JSON of {caption} {notes} {uid} {instruction} {output} {score} { {} {A}";
    Recipe recipe = {.user = user, .kind = n ? (RecipeKind)(data[0] % N_RECIPE_KINDS) : RECIPE_DRAW};
    Subjects *r;
    const Subject *s;
    Line line = {.n = 0};
    bool last = false;
    const char *path = fuzz_put("records.jsonl", data + !!n, n - !!n);
    Status status = subjects_of_records(&r, path, path, recipe.kind);
    fuzz_check(status);
    if (status)
        return 0;
    for (s = NULL; !last; line.n = 0) {
        status = subjects_next(r, &s, &last);
        fuzz_check(status);
        if (!status && !s)
            break;
        if (!status)
            fuzz_check(subject_prompt(s, &recipe, &line));
    }
    line_free(&line);
    subjects_close(&r);
    return 0;
}
