/* template.c: the texts that stand around questions and answers in each template (template.h). Called by encode.c. */
#include "data/text/template.h"

static const ChatFormat FORMATS[] = {
    [CHAT_MISTRAL_INSTRUCT] = {.name = "mistral_instruct",
                               .human_open = "[INST] ",
                               .system = "",
                               .system_open = "",
                               .system_close = "\n\n",
                               .human_close = " [/INST]",
                               .answer_open = " ",
                               .answer_close = " "},
    [CHAT_V1] = {.name = "v1",
                 .human_open = "USER: ",
                 .system = "A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, detailed, "
                           "and polite answers to the user's questions.",
                 .system_open = "",
                 .system_close = " ",
                 .system_first = true,
                 .human_close = " ASSISTANT:",
                 .answer_open = " ",
                 .answer_close = ""},
    [CHAT_LLAVA_LLAMA_2] = {.name = "llava_llama_2",
                            .human_open = "[INST] ",
                            .system = "You are a helpful language and vision assistant. You are able to understand the visual content that "
                                      "the user provides, and assist the user with a variety of tasks using natural language.",
                            .system_open = "<<SYS>>\n",
                            .system_close = "\n<</SYS>>\n\n",
                            .human_close = " [/INST]",
                            .answer_open = " ",
                            .answer_close = " ",
                            .bos_each_round = true},
    [CHAT_PLAIN] = {.name = "plain",
                    .human_open = "",
                    .system = "",
                    .human_close = "",
                    .answer_open = "",
                    .answer_close = "\n",
                    .pictures_only = true},
};

const ChatFormat *chat_format(ChatTemplate t) { return &FORMATS[t]; }
