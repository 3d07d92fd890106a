/* torch_bin.h: reads the weights of torch.save's files (.bin, .pt) without executing anything: a zip archive of a pickle and of raw
 * buffers. For `convert`.
 *
 * The pickle is run by a machine that knows the opcodes and the names that torch writes for tensors and no others (torch_pickle.h):
 * whatever else it names is refused by that name. The buffers are read in place (mmap). Every offset and length is checked when a file is
 * opened: its tensors can be read whatever the file holds. Files of before torch 1.6, compressed ones and those of big-endian machines are
 * refused. */
#ifndef GENLLAVA_DATA_FORMATS_TORCH_BIN_H
#define GENLLAVA_DATA_FORMATS_TORCH_BIN_H

#include <stdint.h>

#include "data/formats/safetensors.h"

/* One file, or a folder's weights. Tensors sorted by name; other values beside them are left out. */
typedef struct TorchBin TorchBin;

MUST_USE Status torch_bin_open(TorchBin **out, const char *file);
/* stem "pytorch_model": STEM.bin, else STEM.bin.index.json, whose tensors must be in the files it names and nowhere else. ERR_MISSING when
 * it has neither. */
MUST_USE Status torch_bin_open_folder(TorchBin **out, const char *folder, const char *stem);
void torch_bin_close(TorchBin **bin);
int torch_bin_count(const TorchBin *bin);
/* `data` is NULL for a view whose elements do not lie one after the other in memory order: only torch_bin_read reads that. Several tensors
 * may share bytes. */
const StTensor *torch_bin_at(const TorchBin *bin, int i);
const StTensor *torch_bin_find(const TorchBin *bin, const char *name); /* NULL when absent */
/* Copies rows first…first+n-1 of a tensor, any of them, in memory order; a row is what one index of the first dimension holds, and a
 * scalar is one row. */
void torch_bin_read(const StTensor *t, int64_t first, int64_t n, void *out);
#endif
