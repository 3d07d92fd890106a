/* gguf_names.h: what llama.cpp calls the tensors of a layer. Read by the writer and by the reader that verifies it. */
#ifndef GENLLAVA_TOOLS_CONVERT_GGUF_NAMES_H
#define GENLLAVA_TOOLS_CONVERT_GGUF_NAMES_H

#include "train/models/names.h"

/* "model.layers.3.mlp.up_proj.weight" and "blk.3.ffn_up.weight"; false: a tensor that it does not know. */
bool gguf_llm_name(char out[WEIGHT_NAME_MAX], const char *ours);
/* "vision_model.encoder.layers.3.mlp.fc1.bias" and "v.blk.3.ffn_up.bias"; of the projector "mm.0.weight". */
bool gguf_tower_name(char out[WEIGHT_NAME_MAX], const char *ours);
#endif
