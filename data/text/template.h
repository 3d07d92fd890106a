/* template.h: what stands around questions and answers. Sources: LLaVA, llava/conversation.py ("vicuna_v1", "mistral_instruct",
 * "llava_llama_2", "plain"). */
#ifndef GENLLAVA_DATA_TEXT_TEMPLATE_H
#define GENLLAVA_DATA_TEXT_TEMPLATE_H

#include <stdbool.h>

#include "data/text/encode.h"

/* A round is  [BOS] human_open question human_close | answer_open answer answer_close [EOS];  what is right of the bar is trained. */
typedef struct ChatFormat {
    const char *name;
    const char *human_open;
    const char *system; /* where no other is given; "": none, nor what is around it */
    const char *system_open, *system_close;
    bool system_first; /* before the first round, else behind its human_open */
    const char *human_close, *answer_open, *answer_close;
    bool bos_each_round; /* else only at the very start */
    bool pictures_only;  /* the question is dropped but for its pictures, and no EOS follows the answer */
} ChatFormat;

const ChatFormat *chat_format(ChatTemplate t);
#endif
