/* stamps: a set for naming things, from the pictures and captions of the drawing program Tux Paint (Debian: tuxpaint-stamps-default).
 *
 * Beside each NAME.png stands NAME.txt, whose first line is the English caption; translations follow. Pictures are cut out: the colours
 * under their transparent parts are arbitrary, so they are laid on white and written as JPEG. */
#include <errno.h>
#include <fts.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "data/formats/file.h"
#include "data/formats/json_write.h"
#include "data/pictures/image.h"
#include "kernels/base/arena.h"
#include "kernels/base/cli.h"
#include "kernels/base/log.h"
#include "kernels/base/philox.h"
#include "kernels/base/utf8.h"
#include "tools/worlds/set_files.h"

enum { MAX_TEXT_BYTES = 1 << 20, MAX_PICTURE_BYTES = 1 << 26, MAX_CAPTION = 400, QUALITY = 95 };

typedef struct Stamps {
    const char *from, *out;
    int64_t heldout, seed; /* percent */
    FileDraft json[2];     /* training, held out */
    int64_t written[2], drawings, without_caption, unreadable;
} Stamps;

static const char *const SPLITS[2] = {"train.json", "heldout.json"};

/* The first line without a byte order mark and blanks at its ends; false when there is none or it is not UTF-8. */
static bool read_caption(char caption[MAX_CAPTION], const char *png_path)
{
    char path[PATH_MAX], *text;
    size_t n = strlen(png_path) - strlen(".png");
    if (snprintf(path, sizeof path, "%.*s.txt", (int)n, png_path) >= (int)sizeof path || access(path, R_OK))
        return false;
    if (file_read(&text, &n, path, MAX_TEXT_BYTES))
        return false;
    const char *line = strncmp(text, "\xef\xbb\xbf", 3) ? text : text + 3;
    line += strspn(line, " \t");
    n = strcspn(line, "\r\n");
    while (n && (line[n - 1] == ' ' || line[n - 1] == '\t'))
        n--;
    bool good = n > 0 && n < MAX_CAPTION;
    for (size_t i = 0; good && i < n;) {
        int length = utf8_decode(line + i, n - i, NULL);
        good = length > 0;
        i += (size_t)length;
    }
    if (good)
        snprintf(caption, MAX_CAPTION, "%.*s", (int)n, line);
    mem_free(text);
    return good;
}

static Status copy_picture(const char *to, const char *from, bool *readable)
{
    static const uint8_t WHITE[3] = {255, 255, 255};
    union {
        char *chars;
        uint8_t *bytes;
    } file;
    uint8_t *jpeg;
    size_t n;
    Image im;
    Reject reject;
    TRY(file_read(&file.chars, &n, from, MAX_PICTURE_BYTES));
    Status s = image_decode_over(&im, file.bytes, n, WHITE, &reject);
    mem_free(file.chars);
    *readable = s != ERR_DATA;
    if (!*readable) {
        log_warn("%s is left out: %s", from, status_message());
        return OK;
    }
    TRY(s);
    s = image_encode_jpeg(im.rgb, im.width, im.height, QUALITY, &jpeg, &n);
    image_free(&im);
    TRY(s);
    s = file_write(to, jpeg, n);
    mem_free(jpeg);
    return s;
}

static Status put_record(Stamps *st, int split, const char *id, const char *image, const char *caption)
{
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "id", id);
    cJSON_AddStringToObject(o, "image", image);
    cJSON_AddStringToObject(o, "kind", "name");
    cJSON *turns = cJSON_AddArrayToObject(o, "conversations");
    set_add_turn(turns, "human", "<image>\nWhat is this?");
    set_add_turn(turns, "gpt", caption);
    fputs(st->written[split]++ ? ",\n" : "\n", st->json[split].out);
    return json_print(st->json[split].out, &o, JSON_INLINE, st->json[split].path);
}

/* `id` is the path below the folder without its ending; the split follows from it, so that it stays when pictures come and go. */
static Status take_picture(Stamps *st, const char *path)
{
    char caption[MAX_CAPTION], id[PATH_MAX], image[64], to[PATH_MAX];
    const char *below = path + strlen(st->from);
    below += strspn(below, "/");
    snprintf(id, sizeof id, "%.*s", (int)(strlen(below) - strlen(".png")), below);
    if (!read_caption(caption, path)) {
        st->without_caption++;
        return OK;
    }
    uint64_t hash = 0;
    for (const char *c = id; *c; c++)
        hash = philox_key(hash, RANDOM_SCENES, (unsigned char)*c, (uint64_t)st->seed);
    bool readable;
    snprintf(image, sizeof image, "pictures/%06" PRId64 ".jpg", st->written[0] + st->written[1]);
    TRY(copy_picture(file_join(to, st->out, image), path, &readable));
    if (!readable) {
        st->unreadable++;
        return OK;
    }
    return put_record(st, hash % 100 < (uint64_t)st->heldout, id, image, caption);
}

static int by_name(const FTSENT **a, const FTSENT **b) { return strcmp((*a)->fts_name, (*b)->fts_name); }

static Status take_all(Stamps *st)
{
    char from[PATH_MAX];
    snprintf(from, sizeof from, "%s", st->from);
    FTS *tree = fts_open((char *[]){from, NULL}, FTS_PHYSICAL | FTS_NOCHDIR, by_name);
    if (!tree)
        return fail(ERR_MISSING, "%s: cannot be read: %s", st->from, strerror(errno));
    Status s = OK;
    for (FTSENT *e; !s && (e = fts_read(tree));) {
        if (e->fts_info != FTS_F)
            continue;
        st->drawings += utf8_ends(e->fts_name, ".svg");
        if (utf8_ends(e->fts_name, ".png"))
            s = take_picture(st, e->fts_path);
    }
    fts_close(tree);
    return s;
}

static Status open_split(Stamps *st, int split)
{
    char path[PATH_MAX];
    TRY(file_draft(&st->json[split], file_join(path, st->out, SPLITS[split])));
    fputc('[', st->json[split].out);
    return OK;
}

static Status finish_split(FileDraft *json, Status s)
{
    if (json->out)
        fputs("\n]\n", json->out);
    return file_publish(json, s);
}

static Status write_set(Stamps *st)
{
    char pictures[PATH_MAX];
    if (access(st->from, R_OK | X_OK))
        return fail(ERR_MISSING, "%s: %s; install the Debian package tuxpaint-stamps-default, or name another folder with --from", st->from,
                    strerror(errno));
    TRY(file_make_folders(file_join(pictures, st->out, "pictures")));
    Status s = open_split(st, 0);
    if (!s)
        s = open_split(st, 1);
    if (!s)
        s = take_all(st);
    s = finish_split(&st->json[0], s);
    return finish_split(&st->json[1], s);
}

int main(int argc, char **argv)
{
    Stamps st = {.from = "/usr/share/tuxpaint/stamps", .heldout = 10, .seed = 42};
    bool quiet = false, done = false;
    const CliOption options[] = {
        {.name = "--out", .kind = CLI_STRING, .value = &st.out, .argument = "FOLDER", .help = "where to write (required)"},
        {.name = "--from", .kind = CLI_STRING, .value = &st.from, .argument = "FOLDER", .help = "the stamps (/usr/share/tuxpaint/stamps)"},
        {.name = "--heldout", .kind = CLI_INT, .value = &st.heldout, .argument = "PERCENT", .help = "share that is held out (10)",
         .high = 100},
        {.name = "--seed", .kind = CLI_INT, .value = &st.seed, .argument = "S", .help = "of the split (42)", .high = 1e15},
        {.name = "--quiet", .kind = CLI_FLAG, .value = &quiet, .help = "only errors"},
        {.name = NULL},
    };
    const CliProgram program = {.name = "stamps",
                                .summary = "Makes a set for naming things from the captioned pictures of Tux Paint.",
                                .usage = "stamps --out FOLDER [options]",
                                .options = options,
                                .notes = "Writes FOLDER/train.json and FOLDER/heldout.json (LLaVA's form: \"What is this?\" and the "
                                         "English caption) and the pictures, on white, as JPEG. `apt install tuxpaint-stamps-default` "
                                         "brings the stamps."};
    cli_start();
    Status s = cli_parse(&program, argc, argv, &done);
    if (s || done)
        return cli_finish(s);
    log_level(quiet ? LOG_ERROR : LOG_INFO);
    if (!st.out)
        return cli_finish(fail(ERR_USAGE, "--out FOLDER is missing"));
    s = write_set(&st);
    if (!s && !(st.written[0] + st.written[1]))
        s = fail(ERR_DATA, "%s holds no PNG picture with a caption beside it", st.from);
    if (!s)
        log_info("%s: %" PRId64 " training and %" PRId64 " held-out pictures; left out: %" PRId64 " drawings (SVG), %" PRId64
                 " pictures without a caption, %" PRId64 " unreadable",
                 st.out, st.written[0], st.written[1], st.drawings, st.without_caption, st.unreadable);
    return cli_finish(s);
}
