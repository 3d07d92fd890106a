/* ranklog.c: opens the files of ranks other than 0 (ranklog.h). Called by the loop. */
#include "train/log/ranklog.h"

#include <limits.h>
#include <stdio.h>
#include <unistd.h>

#include "data/formats/file.h"
#include "data/formats/held.h"
#include "kernels/base/log.h"

static Status open_file(FILE **out, const char *run_folder, int rank)
{
    char folder[PATH_MAX], path[PATH_MAX], name[32];
    snprintf(name, sizeof name, "rank-%03d.log", rank);
    TRY(held_take(run_folder)); /* whatever stands in it, no link is followed */
    Status s = file_make_own_folder(file_join(folder, run_folder, "ranks"));
    if (s == OK)
        s = file_append(out, file_join(path, folder, name));
    held_release(run_folder);
    return s;
}

/* "": it has its file. */
typedef struct Complaint {
    char text[512];
} Complaint;

static void say_complaints(const Complaint *all, int n)
{
    int first = 0, without = 0;
    for (int r = n - 1; r > 0; r--)
        if (*all[r].text) {
            first = r;
            without++;
        }
    if (without == 1)
        log_warn("rank %d: %s; the messages of this rank are not kept", first, all[first].text);
    else if (without)
        log_warn("rank %d: %s; the messages of %d ranks are not kept", first, all[first].text, without);
}

Status ranklog_open(Dist *d, const char *run_folder)
{
    Complaint own = {""};
    FILE *file;
    void *all;
    size_t n_bytes;
    char host[64] = "";
    if (d->rank > 0 && open_file(&file, run_folder, d->rank) == OK) {
        log_file(file);
        gethostname(host, sizeof host - 1);
        log_info("rank %d of %d on %s, process %d", d->rank, d->n_ranks, host, (int)getpid());
    } else if (d->rank > 0)
        snprintf(own.text, sizeof own.text, "%s", status_message());
    TRY(dist_gather(d, &own, sizeof own, &all, &n_bytes));
    if (d->rank == 0)
        say_complaints(all, d->n_ranks);
    mem_free(all);
    return OK;
}
