/* checkpoint.h: a run's state on disk. A checkpoint is a folder checkpoint-NNNNNN (NNNNNN finished updates) of the run folder:
 *
 *   MANIFEST.json                                   sizes and hashes of all that follows; written last
 *   config.resolved.json, state.json                settings; step, counters, the bases by path and hash, what the samples are, the
 *                                                   algorithms that the device's library was asked for
 *   adapter_config.json, adapter_model.safetensors  LoRA, as PEFT loads it
 *   projector.safetensors, token_rows.safetensors, token_rows.json (text to id)
 *   gen_head.safetensors, gen_head_config.json      the generation head and its sizes
 *   unet_conv_in.safetensors                        the UNet's first convolution, where it alone is trained
 *   llm/, vision/, unet/                            whole folders, as Hugging Face has them, of fully trained modules
 *   optimizer.safetensors                           exp_avg/NAME, exp_avg_sq/NAME, updates/NAME
 *   optimizer-0000R-of-0000N.safetensors and optimizer.safetensors.index.json in its place where N ranks have saved together
 *
 * Written under a hidden name, every file fsynced, manifest last, folder renamed, parent fsynced; only then old ones are removed.
 *
 * Where ranks save together (save.split) they may be on several machines, and the run folder on a network file system, where one folder has
 * other numbers of device and inode on each. So rank 0 puts a file into the hidden folder that holds a word drawn for this save, and tells
 * it the others; each opens the folder by its name, without following a link, and writes nothing unless the word is in the folder that it
 * has opened. Into that it writes, whatever the name leads to by then. It hashes its file itself; rank 0 looks whether all are there. */
#ifndef GENLLAVA_TRAIN_STORE_CHECKPOINT_H
#define GENLLAVA_TRAIN_STORE_CHECKPOINT_H

#include <limits.h>
#include <stdbool.h>

#include "train/config/config.h"
#include "train/models/genllava.h"
#include "train/store/manifest.h"

/* What a run knows besides weights and moments. */
typedef struct TrainState {
    int64_t step;                    /* finished updates, skipped ones counted */
    int64_t skipped_steps;           /* of them: those that changed nothing, because loss or gradient were not finite */
    int64_t skipped_samples;         /* the samples of those */
    int64_t samples, tokens, images; /* seen so far, all ranks */
    int64_t validations;             /* that found no new lowest loss, in a row */
    int64_t best_step;               /* where the lowest validation loss was; 0: nowhere yet */
    double best_loss;
    const char *data; /* what the samples are (prepare_identity); NULL: not told, and not read back */
} TrainState;

/* Saves run_folder/checkpoint-NNNNNN, points run_folder/latest to it and removes the oldest beyond save.keep; with
 * save.best the one of state->best_step stays, and run_folder/best points to it. On any failure what was there
 * before is untouched. */
MUST_USE Status checkpoint_save(const char *run_folder, GenLlava *model, const RunConfig *cfg, const TrainState *state);
/* The same by several ranks: rank 0 begins, all write at the same time, rank 0 ends when all have; or drops it, when no rank writes any
 * more. A failure of any rank leaves what was there before untouched. */
enum { CHECKPOINT_WORD = 33 };
typedef struct CheckpointSave {
    const char *run_folder;
    int64_t step;
    int rank, n_ranks;
    char word[CHECKPOINT_WORD]; /* of rank 0's folder: to be told the others */
} CheckpointSave;
MUST_USE Status checkpoint_begin(CheckpointSave *save);
/* Whether this rank finds the folder and may write there. */
MUST_USE Status checkpoint_try(const CheckpointSave *save);
/* share: the file that this rank has written; all of them, in the order of ranks, go to checkpoint_end. */
MUST_USE Status checkpoint_write(const CheckpointSave *save, GenLlava *model, const RunConfig *cfg, const TrainState *state,
                                 ManifestFile *share);
MUST_USE Status checkpoint_end(const CheckpointSave *save, const RunConfig *cfg, const TrainState *state, const ManifestFile *shares);
/* Removes what was begun. Returns s. */
MUST_USE Status checkpoint_drop(const CheckpointSave *save, Status s);
/* How many bytes of weights and moments a checkpoint holds, about. */
int64_t checkpoint_bytes(GenLlava *model, const RunConfig *cfg);
/* Every file of the manifest is there, plain and undamaged, and every file that a checkpoint of its settings must have is among them. */
MUST_USE Status checkpoint_verify(const char *folder);
/* *any: whether the run folder holds checkpoints at all, damaged or not. */
MUST_USE Status checkpoint_any(const char *run_folder, bool *any);
/* Path of the newest checkpoint whose manifest verifies; "" when the folder holds none. Each damaged one on the way is warned of with
 * the file that is to blame; only damaged ones: ERR_DATA. */
MUST_USE Status checkpoint_newest(const char *run_folder, char path[PATH_MAX]);
/* Moments, counts and state from a verified checkpoint; the weights have come by genllava_open. change: bases and the set of trained
 * tensors may be others; what has no moments begins with none. */
MUST_USE Status checkpoint_resume(const char *folder, GenLlava *model, const RunConfig *cfg, bool change, TrainState *state);
/* How the samples that a checkpoint was trained on differ from `data` (prepare_identity), as lines for people; NULL when they do not, or a
 * checkpoint of an earlier version does not tell: *known false. mem_free */
MUST_USE Status checkpoint_compare_data(const char *folder, const char *data, bool *known, char **difference);
/* ERR_USAGE names the saved tensors whose shape is another one in the model. */
MUST_USE Status checkpoint_check_shapes(const char *folder, GenLlava *model);
/* Whether cfg's bases are those that a verified checkpoint was trained on (bases.h); of them those that answering in text reads. */
MUST_USE Status checkpoint_check_bases(const char *folder, const RunConfig *cfg);
/* The config a checkpoint was made with; sets: KEY=VALUE that override it. */
MUST_USE Status checkpoint_config(const char *folder, const char *const *sets, int n_sets, RunConfig *cfg);
/* Removes the oldest checkpoints beyond save.keep of those up to state->step, and points `best` to its own: what checkpoint_save does last,
 * for a run that ended before that. */
MUST_USE Status checkpoint_rotate(const char *run_folder, const RunConfig *cfg, const TrainState *state);
/* Removes what an interrupted save or removal left behind. */
MUST_USE Status checkpoint_clean(const char *run_folder);
#endif
