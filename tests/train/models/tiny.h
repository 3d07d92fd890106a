/* tiny.h: random model folders, run configs and batches for tests of the models. */
#ifndef GENLLAVA_TESTS_TRAIN_MODELS_TINY_H
#define GENLLAVA_TESTS_TRAIN_MODELS_TINY_H

#include "data/loader/batch.h"
#include "data/formats/safetensors.h"
#include "tests/harness.h"
#include "train/config/config.h"
#include "train/models/genllava.h"

void tiny_write(const char *folder, const char *name, const char *text);

/* Collects tensors, then writes them with random values of a spread that keeps gradients lively. */
typedef struct TinyTensors {
    StSpec spec[256];
    char name[256][128];
    int n;
    DType type; /* F32, BF16 or F16 */
} TinyTensors;
void tiny_add(TinyTensors *t, const char *name, int n_dims, int64_t a, int64_t b, int64_t c, int64_t d);
StSpec *tiny_find(TinyTensors *t, const char *name);
void tiny_remove(TinyTensors *t, const char *name);
void tiny_save(const TinyTensors *t, const char *path, uint64_t seed);

/* The language model of model.md, appendix C: 64 wide, 2 layers, 4/2 heads of 16, F 128, V 320. Tensors under `prefix` ("model."). */
extern const char TINY_LLM_CONFIG[];
void tiny_llm_tensors(TinyTensors *t, const char *prefix, bool tied);
/* 32 px, patch 14, 48 wide, 3 blocks, 2 heads, F 56. */
extern const char TINY_VISION_CONFIG[], TINY_PREPROCESSOR[];
void tiny_vision_tensors(TinyTensors *t, const char *prefix);
/* Both folders, complete, under test_dir(): /llm and /vision. */
void tiny_folders(void);

/* A config with the defaults a test wants: llm lora r 4 alpha 8 on all linears, projector full, three task tokens, N = 2. */
void tiny_config(RunConfig *cfg);

/* Three records: an image, text with an added id, two images; five labels each. Static memory. */
const Batch *tiny_batch(const ModelSizes *s);

/* An open model on a backend with memory. */
typedef struct TinyModel {
    Backend backend;
    Arena keep, scratch, kernel;
    GenLlava *g;
    Tape *tape;
} TinyModel;
extern bool tiny_joins; /* backends that tiny_open opens say that they join adapters with their weights */
MUST_USE Status tiny_open(TinyModel *m, const RunConfig *cfg, DType compute, Recompute recompute);
void tiny_close(TinyModel *m);
/* One step: loss of the batch with scale 1/Σw, gradients left in the flat buffer. logits may be NULL. */
double tiny_step(TinyModel *m, const Batch *b, float *logits, bool backward);
#endif
