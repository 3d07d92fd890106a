/* built_in.c: the files themselves, taken in by the assembler (built_in.h). The Makefile knows which they are. Called by data/records and
 * data/curate. */
#include "data/built_in.h"

#include <string.h>

/* X(symbol, path in configs/) */
#define BUILT_IN_LIST(X)                        \
    X(requests, "requests.json")                \
    X(conversation, "curate/conversation.json") \
    X(detail, "curate/detail.json")             \
    X(reasoning, "curate/reasoning.json")       \
    X(draw, "curate/draw.json")                 \
    X(edit, "curate/edit.json")                 \
    X(published, "published.json")

#define TAKE_IN(symbol, path)                                                                            \
    __asm__(".section .rodata\n"                                                                         \
            "built_in_" #symbol ":\n.incbin \"configs/" path "\"\n"                                      \
            "built_in_end_" #symbol ":\n.byte 0\n.previous\n");                                          \
    extern const char built_in_##symbol[] __attribute__((visibility("hidden")));                         \
    extern const char built_in_end_##symbol[] __attribute__((visibility("hidden")));
BUILT_IN_LIST(TAKE_IN)

typedef struct BuiltIn {
    const char *name, *text, *end;
} BuiltIn;

#define ROW(symbol, path) {path, built_in_##symbol, built_in_end_##symbol},
static const BuiltIn FILES[] = {BUILT_IN_LIST(ROW)};
enum { N_FILES = sizeof FILES / sizeof *FILES };

const char *built_in_name(int i) { return i >= 0 && i < N_FILES ? FILES[i].name : NULL; }

const char *built_in(const char *name, size_t *n)
{
    for (int i = 0; i < N_FILES; i++)
        if (!strcmp(FILES[i].name, name)) {
            *n = (size_t)(FILES[i].end - FILES[i].text);
            return FILES[i].text;
        }
    return NULL;
}
