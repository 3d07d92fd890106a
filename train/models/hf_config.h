/* hf_config.h: reads the JSON settings of a Hugging Face or PEFT folder. The first mistake sticks, so a reader is a list of fields;
 * messages name file, line, column, field, what was found and what is expected. An absent field and null are the same. */
#ifndef GENLLAVA_TRAIN_MODELS_HF_CONFIG_H
#define GENLLAVA_TRAIN_MODELS_HF_CONFIG_H

#include "data/formats/json.h"

typedef struct HfConfig {
    JsonDoc *doc;
    const Json *top;
    char *file; /* FOLDER/NAME */
    Status status;
} HfConfig;

#define HF_REQUIRED INT64_MIN /* as `absent` of hf_int: the field must be there */

MUST_USE Status hf_open(HfConfig *c, const char *folder, const char *name);
void hf_close(HfConfig *c);

const Json *hf_get(const Json *object, const char *key); /* NULL when absent or null */
int64_t hf_int(HfConfig *c, const Json *object, const char *key, int64_t absent, int64_t low, int64_t high);
double hf_real(HfConfig *c, const Json *object, const char *key, double absent);
bool hf_bool(HfConfig *c, const Json *object, const char *key, bool absent);
const char *hf_string(HfConfig *c, const Json *object, const char *key, const char *absent); /* valid until hf_close */
const Json *hf_object(HfConfig *c, const Json *object, const char *key);                     /* NULL when absent */
/* Makes "FILE:line:column: KEY is …" of a field whose value cannot be used. at: the value, or NULL. */
void hf_refuse(HfConfig *c, const Json *at, const char *key, const char *format, ...) PRINTF_LIKE(4, 5);

#endif
