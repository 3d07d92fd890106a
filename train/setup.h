/* setup.h: from a config to everything a run works with. In the order of setup_check, setup_device, setup_weights, setup_start, setup_data
 * and setup_model; each says in a line what was chosen. setup_close undoes whatever was done. */
#ifndef GENLLAVA_TRAIN_SETUP_H
#define GENLLAVA_TRAIN_SETUP_H

#include <limits.h>

#include "data/pictures/preprocessor.h"
#include "train/store/checkpoint.h"
#include "train/config/config.h"
#include "train/dist/dist.h"
#include "train/infer/suite.h"
#include "train/measure/memory.h"
#include "train/models/genllava.h"
#include "train/log/samples.h"
#include "train/run_data.h"

typedef struct Setup {
    const RunConfig *cfg;
    char folder[PATH_MAX]; /* of the run: save.dir/name */
    char start[PATH_MAX];  /* the checkpoint to go on from, or "" */
    bool change;           /* other settings and data are taken */
    char *difference;      /* between that checkpoint's settings and data and ours, where --change takes it; of rank 0 */
    char *data;            /* what the samples are, for the checkpoints; of rank 0 */
    int64_t checkpoint_bytes;
    Dist dist;
    ModelSizes sizes;
    Preprocessor preprocessor; /* meaningless without a vision tower */
    RunData rows, held;        /* to learn from; held out */
    Samples samples;           /* what to answer on the way */
    RunSuite suite;            /* benchmarks, too; its kind is the caller's to give before setup_check, NULL: they are not asked */
    bool absent;               /* in a dry run: the data are not there, or not to be read: no samples, no loader */
    bool device_open;
    Backend backend;
    DType compute;
    int processes; /* ranks on this machine */
    int64_t sums;  /* bytes of the device that sums over the ranks have taken */
    MemoryPlan memory;
    GenLlava *model;
    Arena keep, scratch;
    StepNumbers *numbers; /* backend memory */
    Tape *tape;
} Setup;

/* Joins the ranks (the caller calls dist_close, before setup_close). Then checks that need no data: inputs are there, this build can do
 * what is asked. Reads the folders' configs and the mixture. Puts the defaults into cfg that are worked out from these. */
MUST_USE Status setup_check(Setup *s, RunConfig *cfg);
/* Where the run starts: fresh, or (resume) from the newest whole checkpoint or the one named ("" names none). Other settings or data than
 * that checkpoint's are refused, or taken (change) where no saved tensor changes its shape. */
typedef struct SetupStart {
    bool resume, change;
    const char *checkpoint;
} SetupStart;
MUST_USE Status setup_start(Setup *s, const SetupStart *how);
/* Shards and cached results, made when missing or stale, and the loader. */
MUST_USE Status setup_data(Setup *s);
/* In place of setup_data, for a dry run: a loader that can only plan; nothing is written. */
MUST_USE Status setup_plan(Setup *s);
/* The backend and the type it computes in. */
MUST_USE Status setup_device(Setup *s);
/* What the run will need that no shorter pass makes smaller, and who computes what is cached: better known before hours of preparing data
 * than after. */
MUST_USE Status setup_weights(Setup *s);
/* What the run will need. */
MUST_USE Status setup_measure(Setup *s);
/* ERR_NOMEM when what was planned last does not fit. */
MUST_USE Status setup_room(const Setup *s);
/* setup_measure, then memory is taken and weights are loaded. */
MUST_USE Status setup_model(Setup *s);
void setup_close(Setup *s);
#endif
