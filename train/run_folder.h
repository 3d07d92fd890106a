/* run_folder.h: the folder that a run writes into, save.dir/name: looked at before the first step, held while the run lasts. What stands
 * there is never followed; a folder that is swapped for another one meanwhile is not written into. */
#ifndef GENLLAVA_TRAIN_RUN_FOLDER_H
#define GENLLAVA_TRAIN_RUN_FOLDER_H

#include <limits.h>
#include <sys/types.h>

#include "data/formats/lock.h"

typedef struct RunFolder {
    char path[PATH_MAX];
    Lock lock;
    dev_t device;
    ino_t inode, entry; /* of the folder; of the name itself, which may be a link to it */
} RunFolder;

/* Looks alone, writes nothing: rights, what stands where files of the run belong (ERR_CREATE), room for a checkpoint of n_bytes (ERR_IO).
 * The folder need not be there. */
MUST_USE Status run_folder_check(const char *path, int64_t n_bytes);
/* Makes the folder, locks it, and tries all that a save needs. */
MUST_USE Status run_folder_take(RunFolder *f, const char *path);
/* ERR_IO when the name leads elsewhere now. Before anything is written by name. */
MUST_USE Status run_folder_same(const RunFolder *f);
void run_folder_release(RunFolder *f);
#endif
