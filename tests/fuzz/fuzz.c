/* fuzz.c: the folder and the checks that all targets share (fuzz.h). */
#include "tests/fuzz/fuzz.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/formats/file.h"
#include "kernels/base/arena.h"

const char *fuzz_path(const char *name)
{
    static char paths[4][PATH_MAX];
    static int next;
    const char *folder = getenv("FUZZ_FOLDER");
    if (!folder) {
        fputs("FUZZ_FOLDER names no folder; bash tests/fuzz/run.sh starts the targets\n", stderr);
        exit(2);
    }
    next = (next + 1) % 4;
    return file_join(paths[next], folder, name);
}

const char *fuzz_put(const char *name, const void *bytes, size_t n)
{
    const char *path = fuzz_path(name);
    fuzz_require(file_write(path, bytes, n));
    return path;
}

void fuzz_copy(const char *name, const char *from)
{
    char *bytes;
    size_t n;
    fuzz_require(file_read(&bytes, &n, from, 1 << 30));
    fuzz_put(name, bytes, n);
    mem_free(bytes);
}

void fuzz_fixtures(const char *const *files)
{
    char from[512], folder[PATH_MAX];
    for (; *files; files++) {
        fuzz_require(file_make_folders(file_folder(folder, fuzz_path(*files))));
        snprintf(from, sizeof from, "tests/fixtures/parity/%s", *files);
        fuzz_copy(*files, from);
    }
}

void fuzz_model(void)
{
    static const char *const FILES[] = {"bases/llm-gqa/config.json", "bases/llm-gqa/model.safetensors", "bases/llm-gqa/tokenizer.model",
                                        "bases/vision-only/config.json", "bases/vision-only/model.safetensors",
                                        "bases/vision-only/preprocessor_config.json", "visual_tokens/config.json",
                                        "visual_tokens/mixture.json",
                                        "visual_tokens/start/lora/adapter_config.json",
                                        "visual_tokens/start/lora/adapter_model.safetensors",
                                        "visual_tokens/start/token_rows.safetensors", "visual_tokens/start/projector.safetensors", NULL};
    fuzz_fixtures(FILES);
}

void fuzz_check(Status s)
{
    const bool allowed = s == OK || s == ERR_DATA || s == ERR_USAGE || s == ERR_MISSING || s == ERR_NOMEM;
    if (allowed && (!s || *status_message()))
        return;
    fprintf(stderr, "status %d: %s\n", (int)s, s ? status_message() : "");
    abort();
}

void fuzz_require(Status s)
{
    if (!s)
        return;
    fprintf(stderr, "%s\n", status_message());
    exit(2);
}

void fuzz_world(FuzzWorld *w, const char *const *files)
{
    *w = (FuzzWorld){.files = files, .replaced = -1};
    for (; files[w->n]; w->n++)
        fuzz_require(file_read((char **)&w->bytes[w->n], &w->n_bytes[w->n], fuzz_path(files[w->n]), 1 << 30));
}

int fuzz_replace(FuzzWorld *w, const uint8_t *data, size_t n)
{
    const int k = n ? data[0] % w->n : 0;
    if (w->replaced >= 0)
        fuzz_put(w->files[w->replaced], w->bytes[w->replaced], w->n_bytes[w->replaced]);
    w->replaced = n > 1 ? k : -1;
    if (n > 1)
        fuzz_put(w->files[k], data + 1, n - 1);
    return k;
}

size_t fuzz_world_mutate(const FuzzWorld *w, uint8_t *data, size_t n, size_t most, unsigned seed)
{
    if (n < 2 || seed % 64 == 0) {
        const int k = (int)(seed / 64 % (unsigned)w->n);
        if (w->n_bytes[k] + 1 > most)
            return n;
        data[0] = (uint8_t)k;
        memcpy(data + 1, w->bytes[k], w->n_bytes[k]);
        n = w->n_bytes[k] + 1;
    }
    return 1 + LLVMFuzzerMutate(data + 1, n - 1, most - 1);
}
