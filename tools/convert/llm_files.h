/* llm_files.h: the files beside the weights of a language model that goes to Hugging Face. Called by the writers. */
#ifndef GENLLAVA_TOOLS_CONVERT_LLM_FILES_H
#define GENLLAVA_TOOLS_CONVERT_LLM_FILES_H

#include "data/formats/json_write.h"
#include "tools/convert/to.h"

/* The settings of the language model, without what LLaVA's own have of tower and projector among them. */
cJSON *llm_settings(const Model *m);
/* They with these rows and types, for config.json or as the text_config of one. */
cJSON *llm_config(const Model *m, const WriteOptions *o, int64_t n_rows);
/* generation_config.json, the tokenizer's files with the added tokens, and, where they are not NULL, tokens for pictures and padding behind
 * these; other files that lie beside the base's weights and belong to the model. */
MUST_USE Status llm_companions(const Model *m, const char *folder, const char *image_token, const char *pad_token);
/* The template that turns a conversation into a prompt: that of the run; of a whole model from elsewhere its own, *text NULL where it has
 * none. image_token, for_llama_cpp: chat_template.h. mem_free. */
MUST_USE Status llm_chat_template(char **text, const Model *m, const char *image_token, bool for_llama_cpp);
#endif
