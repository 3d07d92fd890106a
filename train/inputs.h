/* inputs.h: whether everything that a run reads is there, said all at once and before anything is begun. */
#ifndef GENLLAVA_TRAIN_INPUTS_H
#define GENLLAVA_TRAIN_INPUTS_H

#include "data/records/records.h"
#include "train/config/config.h"
#include "train/infer/suite.h"

/* Looks for the paths of the config, the files that model folders must hold, and the files and folders of data.mixture
 * and data.validation, which are read (held: without sources where there is none), and of suite. What is missing is one message, a line
 * each. suite NULL: only what preparing the data reads is looked for. absent (may be NULL: then that is missing, too): whether data or what
 * reads them is not there, which is a warning. mixture_free of both, also after an error. */
MUST_USE Status inputs_check(Mixture *mixture, Mixture *held, const RunConfig *cfg, const RunSuite *suite, bool *absent);
#endif
