/* torch_pickle.h: runs the pickle of torch.save's archives on a machine that can make tensors' descriptions and nothing else. For
 * torch_bin.c.
 *
 * A pickle is a program for a stack machine that may name any function of Python and call it. Here a name is only compared with those that
 * torch writes for tensors; any other, and any opcode that they do not need, is refused with a sentence that says which. Nothing is looked
 * up and nothing is called. */
#ifndef GENLLAVA_DATA_FORMATS_TORCH_PICKLE_H
#define GENLLAVA_DATA_FORMATS_TORCH_PICKLE_H

#include <stddef.h>
#include <stdint.h>

#include "data/formats/safetensors.h"

/* A tensor as the pickle describes it, none of whose numbers is checked: a view of a storage, by strides in elements. */
typedef struct PickledTensor {
    const char *name, *key; /* its own and its storage's; they lie in the pickle, without a NUL at their end */
    size_t name_bytes, key_bytes;
    DType type;
    int64_t storage; /* elements that its storage has */
    int64_t offset;
    int n_dims;
    int64_t shape[ST_MAX_DIMS], stride[ST_MAX_DIMS];
} PickledTensor;

/* The tensors of the dictionary that the pickle makes, in its order; other values of it are passed over. mem_free. `path` stands in
 * messages. */
MUST_USE Status torch_pickle_read(PickledTensor **out, int *n, const uint8_t *bytes, size_t n_bytes, const char *path);
#endif
