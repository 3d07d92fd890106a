/* recipe.c: recipes of curate. One that is read is written, and read again as the same. */
#include "data/curate/recipe.h"

#include <stdlib.h>
#include <string.h>

#include "data/formats/file.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    Recipe r, again;
    char folder[PATH_MAX];
    const char *path = fuzz_put("recipe.json", data, n);
    Status s = recipe_load(&r, path);
    fuzz_check(s);
    if (s)
        return 0;
    if (recipe_save(&r, path) || recipe_load_requests(&again, file_folder(folder, path)) ||
        strcmp(r.template_sha256, again.template_sha256) || strcmp(r.name, again.name) || !r.body != !again.body)
        abort();
    recipe_free(&r);
    recipe_free(&again);
    return 0;
}
