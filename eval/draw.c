/* draw.c: one picture, or a sheet of several seeds (draw.h). Called by generate. */
#include "eval/draw.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "data/formats/file.h"
#include "kernels/base/cli.h"
#include "kernels/base/log.h"

/* A name that promises another kind of file. */
static bool is_named_otherwise(const char *out)
{
    static const char *const ENDINGS[] = {".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".ppm", ".tif", ".tiff"};
    const char *dot = strrchr(out, '.');
    for (size_t i = 0; dot && i < sizeof ENDINGS / sizeof *ENDINGS; i++)
        if (!strcasecmp(dot, ENDINGS[i]))
            return true;
    return false;
}

Status draw_check_out(const char *out)
{
    char folder[PATH_MAX];
    struct stat st;
    if (!strcmp(out, "-"))
        return OK;
    if (!*out)
        return fail(ERR_USAGE, "--out: the name of the file is empty");
    if (!stat(out, &st) && !S_ISREG(st.st_mode))
        return fail(ERR_CREATE, "--out %s: is %s; the picture takes the name of a file: give another one", out, file_kind(st.st_mode));
    file_folder(folder, out);
    if (stat(folder, &st))
        return fail(ERR_CREATE, "--out %s: %s: %s", out, folder, errno == ENOENT ? "there is no such folder" : strerror(errno));
    if (!S_ISDIR(st.st_mode))
        return fail(ERR_CREATE, "--out %s: %s is %s, expected a folder", out, folder, file_kind(st.st_mode));
    if (access(folder, W_OK | X_OK))
        return fail(ERR_CREATE, "--out %s: %s: nothing can be written there: %s", out, folder, strerror(errno));
    if (is_named_otherwise(out))
        log_warn("--out %s: is written as PNG, whatever its name says", out);
    return OK;
}

Status draw_make_folder(const char *out, const char *what)
{
    struct stat st;
    if (!stat(out, &st) && !S_ISDIR(st.st_mode))
        return fail(ERR_CREATE, "--out %s: is %s; a folder for %s is made: give another name, or move that away", out,
                    file_kind(st.st_mode), what);
    return fail_context(file_make_folders(out), "--out");
}

Status draw_once(const Session *s, Task task, const char *text, const char *const *images, int n_images, int64_t grid, const char *out)
{
    const RecordTurn turn = {.human = true, .text = text, .length = strlen(text)};
    const Question q = {.system = s->system, .turns = &turn, .n_turns = 1, .images = images, .n_images = n_images};
    const Picture what = {.task = task,
                          .prompt = {turn.text, turn.length},
                          .question = &q,
                          .caption = text,
                          .source = n_images ? images[0] : NULL,
                          .seed = s->seed,
                          .grid = grid};
    Image picture;
    TRY(painter_draw(s->painter, &what, &picture));
    Status status = painter_save(s->painter, &what, &picture, out);
    image_free(&picture);
    if (!status && strcmp(out, "-"))
        fprintf(s->results, "%s\n", out);
    return status ? status : cli_flush();
}
