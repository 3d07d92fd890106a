/* ranklog.h: what ranks other than 0 have to say goes to files of the run folder, ranks/rank-003.log, which grow from run to run. Called by
 * the loop on every rank, once rank 0 has made the folder. */
#ifndef GENLLAVA_TRAIN_LOG_RANKLOG_H
#define GENLLAVA_TRAIN_LOG_RANKLOG_H

#include "train/dist/dist.h"

/* A file that cannot be is said once, by rank 0, and is no error: that rank's messages are lost, but not its failures. */
MUST_USE Status ranklog_open(Dist *d, const char *run_folder);
#endif
