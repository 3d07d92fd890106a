/* to.h: the writers of formats, a file each and a row in convert.c's table. */
#ifndef GENLLAVA_TOOLS_CONVERT_TO_H
#define GENLLAVA_TOOLS_CONVERT_TO_H

#include "tools/convert/model.h"

typedef enum OutType { TYPE_BF16, TYPE_F16, TYPE_F32, TYPE_Q8_0, N_OUT_TYPES } OutType;

typedef struct WriteOptions {
    OutType type;
    bool type_given; /* else the default, or as they are stored where a format keeps types */
    int64_t max_shard;
} WriteOptions;
/* of Q8_0: F16, for what cannot be quantised */
static inline DType out_dtype(OutType t) { return t == TYPE_F32 ? F32 : t == TYPE_BF16 ? BF16 : F16; }

typedef struct Writer {
    const char *name;    /* of --to */
    const char *holds;   /* what its folder holds, for --list */
    const char *read_by; /* … and what reads it */
    const char *use;     /* lines of Markdown that show how it is loaded, for its README.md; may be NULL */
    bool shards;         /* --max-shard-size counts */
    bool keeps_types;    /* as they are stored, unless --type is given */
    bool takes_type;
    bool takes_q8_0;
    /* Refuses what the format cannot hold (ERR_DATA), and says what it leaves out, a warning each. Before anything is written. */
    Status (*check)(const Model *m, const WriteOptions *o);
    Status (*write)(Model *m, const WriteOptions *o, const char *folder);
    /* Opens what was written, to verify it: NULL: as any folder, with the base of the model's own. Not for formats without a model. */
    Status (*reopen)(Model *out, const Model *m, const char *folder);
    bool verified; /* it holds a language model that can be asked */
} Writer;
extern const Writer WRITERS[];
extern const int N_WRITERS;

MUST_USE Status to_hf_check(const Model *m, const WriteOptions *o);
MUST_USE Status to_hf(Model *m, const WriteOptions *o, const char *folder);
MUST_USE Status to_hf_llava_check(const Model *m, const WriteOptions *o);
MUST_USE Status to_hf_llava(Model *m, const WriteOptions *o, const char *folder);
MUST_USE Status to_llava_check(const Model *m, const WriteOptions *o);
MUST_USE Status to_llava(Model *m, const WriteOptions *o, const char *folder);
MUST_USE Status to_gguf_check(const Model *m, const WriteOptions *o);
MUST_USE Status to_gguf(Model *m, const WriteOptions *o, const char *folder);
MUST_USE Status to_parts_check(const Model *m, const WriteOptions *o);
MUST_USE Status to_parts(Model *m, const WriteOptions *o, const char *folder);
MUST_USE Status to_peft_check(const Model *m, const WriteOptions *o);
MUST_USE Status to_peft(Model *m, const WriteOptions *o, const char *folder);
MUST_USE Status to_diffusers_check(const Model *m, const WriteOptions *o);
MUST_USE Status to_diffusers(Model *m, const WriteOptions *o, const char *folder);
#endif
