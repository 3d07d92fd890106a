/* spare.c: what a mixture is read from is not written over by an output of the same run (prepare.h). Called by the program prepare. */
#include <string.h>
#include <unistd.h>

#include "data/pictures/image.h"
#include "data/prepare/parts.h"
#include "data/records/format.h"

typedef struct Output {
    const char *option, *path;
} Output;

static Status spare_other(void *output, const char *path)
{
    const Output *o = output;
    return file_spare(o->option, o->path, path, "data file");
}

static Status spare_source(Output *o, const MixtureSource *s)
{
    const Feed *feed = s->format->feed[s->as];
    for (int i = 0; i < s->n_files; i++) {
        TRY(spare_other(o, s->files[i]));
        if (feed && feed->inputs)
            TRY(feed->inputs(s, s->files[i], spare_other, o));
    }
    return file_spare(o->option, o->path, s->requests_file, "file of request templates");
}

/* Pictures are too many to be asked one by one: none is replaced by rows or a report. */
static Status spare_picture(const Output *o)
{
    uint8_t start[32];
    int fd;
    const bool there = !file_open(&fd, o->path);
    const bool picture = there && !file_read_at(fd, o->path, start, sizeof start, 0) && image_identify(start, sizeof start);
    if (there)
        close(fd);
    return picture ? fail(ERR_USAGE, "%s %s: is a picture, which would be lost; choose another name", o->option, o->path) : OK;
}

Status prepare_spare(const Mixture *m, const char *option, const char *path)
{
    Output o = {option, path};
    if (!path || !strcmp(path, "-") || !file_exists(path))
        return OK;
    TRY(file_spare(option, path, m->exclude_file, "list exclude_image_ids"));
    for (int i = 0; i < m->n_sources; i++)
        TRY(spare_source(&o, &m->sources[i]));
    return spare_picture(&o);
}
