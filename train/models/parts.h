/* parts.h: the networks and other trained parts that a model is made of, a row each in parts.c. Where weights come from, what is trained at
 * which rate, where a checkpoint keeps it and what must be there before a run: everyone who asks walks PARTS. A new part is a row and a
 * file of its own. */
#ifndef GENLLAVA_TRAIN_MODELS_PARTS_H
#define GENLLAVA_TRAIN_MODELS_PARTS_H

#include <limits.h>

#include "train/config/config.h"
#include "train/models/genllava.h"
#include "train/models/names.h"

/* A key of the settings and where it lies in RunConfig; all zero: none. */
typedef struct PartKey {
    const char *name;
    size_t offset;
} PartKey;

typedef enum PartForm {
    PART_FILE,   /* a safetensors file */
    PART_FOLDER, /* a Hugging Face folder, in a checkpoint only when it was trained */
    PART_ADAPTER /* a PEFT folder: in a checkpoint that is the checkpoint itself */
} PartForm;

/* A file that the folder of `path` must hold. */
typedef struct PartFile {
    const char *name, *what;                      /* "the sizes of the model are read from": a sentence that ends with "there" */
    bool with_weights;                            /* not where weights are drawn */
    bool for_data;                                /* what reads the data needs it */
    const char *(*stands_in)(const char *folder); /* another file that says the same; NULL: none can */
} PartFile;

/* Functions: NULL is nothing to do, or what is said there. `from` and `folder` are paths. */
typedef struct Part {
    const char *name;       /* in keys, in the dry run's table and in state.json */
    const char *counted;    /* the part of which it is a piece, and with which the dry run counts it; NULL: of none */
    const char *title;      /* in sentences */
    const char *after;      /* the part that a pass reaches before it: it is declared after that; NULL: none */
    bool only_for_pictures; /* that are drawn: who answers in text alone (no RunConfig.draws) does without it */
    PartKey path;           /* the folder it starts from, also when it is drawn … */
    const char *subfolder;  /* … or a folder in there; may be NULL */
    const char *beside;     /* another folder that belongs to it, seen from its own; may be NULL */
    const char *stem;       /* of the file of weights in a folder: "model" where it is NULL */
    PartKey init;           /* with path: an InitChoice, none: it is never drawn; without path: a file or folder to start from */
    PartKey train;          /* a TrainMode; none: with a path it is frozen, else always trained */
    PartKey lr;
    PartForm form;
    const char *saved; /* file or folder in a checkpoint */
    PartFile files[2];
    const NameTable *names;                                 /* NULL: files spell its weights as we do */
    bool (*wanted)(const RunConfig *cfg);                   /* NULL: always */
    bool (*cached)(const RunConfig *cfg);                   /* its results are read from files beside the shards; NULL: never */
    const char *unwanted;                                   /* why init cannot be set then; NULL: it is ignored */
    const char *(*widened)(const RunConfig *cfg);           /* a convolution with twice the inputs that it has in the files; NULL: none */
    Status (*configure)(GenLlava *g, const RunConfig *cfg); /* reads settings of its folder; no weights */
    Status (*declare)(GenLlava *g, const RunConfig *cfg);   /* NULL: the part is only a name so far */
    Status (*load)(GenLlava *g, const RunConfig *cfg, const char *from);             /* NULL: file or folder, by names */
    Status (*draw)(GenLlava *g, uint64_t seed);                                      /* NULL: each weight by its declaration */
    const char *described;                                                           /* a file in a checkpoint beside the weights … */
    Status (*describe)(const GenLlava *g, const RunConfig *cfg, const char *folder); /* … and who writes it there */
    Status (*updated)(GenLlava *g);                                                  /* after an optimiser step */
    Status (*count)(const GenLlava *g, int64_t *n);                                  /* a piece that is counted where it is not opened */
    void (*free)(GenLlava *g);
} Part;

enum { PARTS_MAX = 16 };
extern const Part PARTS[];
extern const int N_PARTS;

const Part *part_find(const char *name); /* NULL: there is none */
bool part_wanted(const Part *part, const RunConfig *cfg);
/* Not wanted, but its results are read from files beside the shards: so it matters to the run. */
bool part_cached(const Part *part, const RunConfig *cfg);
bool part_trained(const Part *part, const RunConfig *cfg);
/* The folder it starts from, NULL where none is given; path: room for the result. */
const char *part_folder(const Part *part, const RunConfig *cfg, char path[PATH_MAX]);
const char *part_stem(const Part *part);
/* Whether its weights are drawn. */
bool part_drawn(const Part *part, const RunConfig *cfg);

/* The file or folder that its weights come from, of a checkpoint (NULL: a fresh start) the checkpoint itself for adapters; NULL: they are
 * drawn. path: room for the result. */
const char *part_source(char path[PATH_MAX], const Part *part, const RunConfig *cfg, const char *checkpoint);

/* The parameters of a part of an open model, or of a piece that is counted with such a part. */
MUST_USE Status part_count(const Part *part, const GenLlava *g, int64_t *n);

/* A warning for each part of a plan whose weights are not there to be checked. */
void parts_say_unchecked(const RunConfig *cfg);
/* Calls visit with the failure (ERR_MISSING) of each file that the folder of a wanted part must hold and does not, and with `weights` of
 * those too; ends with what visit returns, if not OK. A path that is missing itself is left out. */
typedef Status (*PartVisit)(void *arg, const PartFile *file, Status missing);
MUST_USE Status parts_check_files(const RunConfig *cfg, bool weights, PartVisit visit, void *arg);

/* A part that was trained in a checkpoint, whose settings are `there`, and whose weights cfg would not read from it; NULL: there is none.
 */
const Part *parts_find_dropped(const RunConfig *there, const RunConfig *cfg, const char *checkpoint);

/* The parts that train, and their learning rates before the schedule's factor; returns how many. */
typedef struct PartRate {
    const char *part, *name; /* name: of the rate, as in "lr_NAME" */
    double lr;
} PartRate;
int parts_rates(const RunConfig *cfg, PartRate rates[PARTS_MAX]);
/* Warns of learning rates that are set, to others than their defaults, and that nothing is trained at. */
void parts_warn_of_idle_rates(const RunConfig *cfg);

/* For genllava.c: each walks the parts that the settings want. */
/* What is wrong with any of the folders is told at once. */
MUST_USE Status parts_configure(GenLlava *g, const RunConfig *cfg);
MUST_USE Status parts_declare(GenLlava *g, const RunConfig *cfg);
MUST_USE Status parts_load(GenLlava *g, const RunConfig *cfg, const char *checkpoint /* NULL: a fresh start */);
MUST_USE Status parts_updated(GenLlava *g);
void parts_free(GenLlava *g);
#endif
