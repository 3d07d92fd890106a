/* world.c: writes the rows and pictures of the tests of prepare (world.h). */
#include "tests/data/prepare/world.h"

#include <sys/stat.h>
#include <unistd.h>

#include "data/formats/file.h"
#include "kernels/base/arena.h"
#include "kernels/base/log.h"
#include "tests/harness.h"

const char *world_path(const char *name)
{
    static char path[8][1200];
    static int next;
    next = (next + 1) % 8;
    snprintf(path[next], sizeof path[next], "%s/%s", test_dir(), name);
    return path[next];
}

void world_put(const char *name, const char *text, size_t n)
{
    FILE *f = fopen(world_path(name), "w");
    REQUIRE(f && fwrite(text, 1, n, f) == n && !fclose(f));
}
void world_put_text(const char *name, const char *text) { world_put(name, text, strlen(text)); }

void world_copy_picture(const char *fixture, const char *name, size_t most)
{
    char *bytes;
    size_t n;
    char from[256];
    snprintf(from, sizeof from, "tests/fixtures/images/%s", fixture);
    REQUIRE_OK(file_read(&bytes, &n, from, 1 << 24));
    world_put(name, bytes, n < most ? n : most);
    mem_free(bytes);
}

void world_open(World *w, const char *sources, const char *out)
{
    *w = (World){0};
    log_level(LOG_QUIET);
    REQUIRE_OK(mixture_load(&w->mixture, "data.mixture", NULL, sources, test_dir()));
    snprintf(w->out, sizeof w->out, "%s", world_path(out));
    w->o = (PrepareOptions){.mixture = &w->mixture,
                            .encoder = {.chat = CHAT_MISTRAL_INSTRUCT, .vocab_size = 1000, .task_text = {"[I2T]", "[T2I]", "[I2I]"},
                                        .n_visual = 4, .max_tokens = 400, .patches = 4},
                            .tokenizer_path = "tests/fixtures/vocabulary/tokenizer.model",
                            .vision_folder = "tests/fixtures/parity/bases/vision-only",
                            .pad = true,
                            .shard_samples = 4,
                            .max_bad = 1,
                            .max_pixels = IMAGE_MAX_PIXELS,
                            .out = w->out,
                            .jobs = 2};
}

void world_close(World *w) { mixture_free(&w->mixture); }

static void make_quirks(void)
{
    mkdir(world_path("images"), 0777);
    mkdir(world_path("elsewhere"), 0777);
    world_copy_picture("rgb.jpg", "images/good.jpg", SIZE_MAX);
    world_copy_picture("rgb.jpg", "images/again.jpg", SIZE_MAX); /* the same bytes under another name */
    world_copy_picture("plain.gif", "images/gif.jpg", SIZE_MAX); /* named after what it is not */
    world_copy_picture("rgb.png", "images/renamed.PnG", SIZE_MAX);
    world_copy_picture("exif6.jpg", "images/turned.jpg", SIZE_MAX);
    world_copy_picture("rgb.jpg", "images/half.jpg", 300);
    world_copy_picture("rgb.jpg", "elsewhere/secret.jpg", SIZE_MAX);
    world_put("images/empty.jpg", "", 0);
    world_put_text("images/words.jpg", "this is no picture");
    REQUIRE(!symlink("../elsewhere/secret.jpg", world_path("images/link.jpg")) && !symlink("good.jpg", world_path("images/inside.jpg")));
    world_put_text("rows.json",
             "[" SEEN("0", "good.jpg") ",\n" SEEN("1", "gif.jpg") "," SEEN("2", "renamed.jpg") "," SEEN("3", "again.jpg") ","
             SEEN("4", "gone.jpg") "," SEEN("5", "empty.jpg") "," SEEN("6", "words.jpg") "," SEEN("7", "half.jpg") ","
             SEEN("8", "link.jpg") "," SEEN("9", "../elsewhere/secret.jpg") "," SEEN("10", "/etc/passwd") "," SEEN("11", "inside.jpg") ","
             "{\"id\":12,\"image\":[\"good.jpg\",\"turned.jpg\"]," TURNS("<image><image>Compare", "Alike.") ",\"bbox\":[1]},"
             "{\"id\":\"13\"," TURNS("Hello", "Hi") "},"
             "{\"id\":\"13\"," TURNS("Hello again", "Hi") "}," /* a repeated id in an array is fine */
             "{\"id\":\"15\"," TURNS("Hello", "") "},"
             "{\"id\":\"16\",\"image\":\"good.jpg\"," TURNS("No marker", "x") "},"
             "{\"id\":\"17\"," TURNS("<image>\\nNo image", "x") "},"
             "{\"id\":\"18\",\"conversations\":[]},"
             SEEN("19", "gone.jpg") "]");
    world_put_text("rows.jsonl", "{\"uid\":\"a\",\"task\":\"understand\",\"turns\":[{\"from\":\"human\",\"value\":\"Q\"},"
                                 "{\"from\":\"gpt\",\"value\":\"A\"}]}\n{\"uid\":\"a\",\"task\":\"understand\","
                                 "\"turns\":[{\"from\":\"human\",\"value\":\"Q\"},{\"from\":\"gpt\",\"value\":\"B\"}]}\nnot json\n"
                           "{\"uid\":\"d\",\"task\":\"generate\",\"images\":[{\"path\":\"good.jpg\",\"role\":\"target\"}],"
                           "\"turns\":[{\"from\":\"human\",\"value\":\"Draw\"},{\"from\":\"gpt\",\"value\":\"<gen>\"}],"
                           "\"sd\":{\"prompt\":\"a thing\"},\"weight\":0.5}\n");
}

static const char SOURCES[] = "[{\"name\":\"legacy\",\"files\":[\"rows.json\"],\"image_root\":\"images\"},"
                              "{\"name\":\"unified\",\"files\":[\"rows.jsonl\"],\"image_root\":\"images\"}]";

void world_quirks(World *w, const char *out)
{
    make_quirks();
    world_open(w, SOURCES, out);
}

/* A world of n text and picture rows, enough that a preparation takes a while. */
void world_many(World *w, const char *out, int n)
{
    mkdir(world_path("images"), 0777);
    static const char *const PICTURES[] = {"rgb.jpg", "progressive.jpg", "rgb.png", "lossy.webp", "sub2.jpg"};
    for (int i = 0; i < 5; i++) {
        char name[64];
        snprintf(name, sizeof name, "images/p%d.jpg", i);
        world_copy_picture(PICTURES[i], name, SIZE_MAX);
    }
    FILE *f = fopen(world_path("many.json"), "w");
    REQUIRE(f != NULL);
    fputs("[", f);
    for (int i = 0; i < n; i++) {
        fprintf(f, "%s{\"id\":%d,", i ? "," : "", i);
        if (i % 3)
            fprintf(f, "\"image\":\"p%d.jpg\",", i % 7); /* p5 and p6 are missing */
        fprintf(f, TURNS("%sQuestion %d?", "Answer %d.") "}", i % 3 ? "<image>\\n" : "", i, i * i);
    }
    fputs("]", f);
    REQUIRE(!fclose(f));
    world_open(w, "[{\"name\":\"many\",\"files\":[\"many.json\"],\"image_root\":\"images\"}]", out);
    w->o.shard_samples = 16;
}
