/* fuzz.h: what the targets of `make fuzz` share. Every other .c file of this folder is a target: a parser that libFuzzer feeds with bytes.
 * A target ends by a sanitizer's finding, by fuzz_check, by an input that takes longer than a second, or by memory beyond the limit
 * (run.sh).
 *
 * Most targets open files. Those lie in a folder in memory, which run.sh makes and removes. */
#ifndef GENLLAVA_TESTS_FUZZ_FUZZ_H
#define GENLLAVA_TESTS_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>

#include "kernels/base/status.h"

/* libFuzzer's interface: the first is each target's, the others where a target needs them. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerInitialize(int *argc, char ***argv);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t n, size_t most, unsigned seed);
size_t LLVMFuzzerMutate(uint8_t *data, size_t n, size_t most);

/* The folder, or a path in it (one of four buffers, in turn). */
const char *fuzz_path(const char *name);
/* Writes a file there; its path. */
const char *fuzz_put(const char *name, const void *bytes, size_t n);
/* Copies a file of the tree there. */
void fuzz_copy(const char *name, const char *from);
/* Copies files of tests/fixtures/parity there, into the same folders; ends with NULL. */
void fuzz_fixtures(const char *const *files);
/* A small model there, from the fixtures: bases/llm-gqa, bases/vision-only, and the run visual_tokens/config.json over them. */
void fuzz_model(void);
/* Ends the target unless it is a success, or a failure of the kind that bad input may cause, with a sentence. */
void fuzz_check(Status s);
/* What cannot fail; ends the target. */
void fuzz_require(Status s);

/* A target that opens a whole folder, of which the input replaces one file: its first byte says which, the rest is the file. Nothing after
 * it: the file as it is. */
typedef struct FuzzWorld {
    const char *const *files; /* in the fuzz folder; ends with NULL */
    uint8_t *bytes[16];       /* as they are */
    size_t n_bytes[16];
    int n, replaced; /* replaced: which one is not as it is, or -1 */
} FuzzWorld;
void fuzz_world(FuzzWorld *w, const char *const *files); /* reads them */
/* Puts the input in its place; the file's number. */
int fuzz_replace(FuzzWorld *w, const uint8_t *data, size_t n);
/* A LLVMFuzzerCustomMutator that begins with a file as it is. */
size_t fuzz_world_mutate(const FuzzWorld *w, uint8_t *data, size_t n, size_t most, unsigned seed);
#endif
