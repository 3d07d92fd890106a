/* world.h: a small world of rows and pictures in test_dir(), for the tests of prepare. */
#ifndef GENLLAVA_TESTS_DATA_PREPARE_WORLD_H
#define GENLLAVA_TESTS_DATA_PREPARE_WORLD_H

#include "data/prepare/prepare.h"

typedef struct World {
    Mixture mixture;
    PrepareOptions o;
    char out[400];
} World;

/* JSON of a conversation of one round, and of a LLaVA record about a picture. */
#define TURNS(q, a) "\"conversations\":[{\"from\":\"human\",\"value\":\"" q "\"},{\"from\":\"gpt\",\"value\":\"" a "\"}]"
#define SEEN(id, file) "{\"id\":\"" id "\",\"image\":\"" file "\"," TURNS("<image>\\nWhat is it?", "A picture.") "}"

const char *world_path(const char *name);
void world_put(const char *name, const char *text, size_t n);
void world_put_text(const char *name, const char *text);
void world_copy_picture(const char *fixture, const char *name, size_t most);
void world_open(World *w, const char *sources, const char *out);
void world_close(World *w);
void world_quirks(World *w, const char *out);
void world_many(World *w, const char *out, int n);
#endif
