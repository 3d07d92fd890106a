/* chat_template.h: a run's template (data.template) as Jinja, which transformers, vLLM and llama.cpp make prompts with. Called by the
 * writers of folders for Hugging Face and of GGUF. */
#ifndef GENLLAVA_TOOLS_CONVERT_CHAT_TEMPLATE_H
#define GENLLAVA_TOOLS_CONVERT_CHAT_TEMPLATE_H

#include "data/text/encode.h"

/* A line break that stands directly before an added token which takes white space beside it: U+FDD0, no character of any text.
 * tokenizer.json turns it into the line break once added tokens have been found. */
#define CHAT_TEMPLATE_LINE_BREAK "\xEF\xB7\x90"

typedef struct ChatTemplateOptions {
    ChatTemplate chat;
    const char *task;   /* the task token of questions with pictures; NULL: none */
    const char *image;  /* what stands for a picture; NULL: pictures come as llama-server's markers alone */
    bool for_llama_cpp; /* added tokens leave what is beside them; line breaks are written as they are */
} ChatTemplateOptions;

/* Its prompts have the ids of `generate` (encode_prompt): in transformers with tokenizer_files.h, in llama.cpp with the vocabulary of
 * vocabulary.h. A content is a string or a list of parts of type text and image. Where a conversation cannot be encoded, an exception is
 * raised. A prompt ends where the answer begins, whether add_generation_prompt is set or not. Different from `generate`: a text that spells
 * a token ("</s>", "[I2T]", "<image>") becomes that token; white space around answers is dropped, and so it is at the start of a first
 * question whose conversation has pictures only later. *text: mem_free. */
MUST_USE Status chat_template_text(char **text, const ChatTemplateOptions *o);

/* The template that a model's folder comes with, in chat_template.jinja, chat_template.json or tokenizer_config.json; NULL where there is
 * none. mem_free. */
MUST_USE Status chat_template_read(char **text, const char *folder);
/* Whether chat_template_text has made this text, and of which template. */
bool chat_template_is_ours(ChatTemplate *chat, const char *text);
#endif
