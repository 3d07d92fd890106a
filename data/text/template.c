/* template.c: the texts that stand around questions and answers in each template (template.h). Called by encode.c. */
#include "data/text/template.h"

static const ChatFormat FORMATS[] = {
    [CHAT_MISTRAL_INSTRUCT] = {.name = "mistral_instruct",
                               .preamble = "",
                               .human_open = "[INST] ",
                               .system = "",
                               .human_close = " [/INST]",
                               .answer_open = " ",
                               .answer_close = " "},
    [CHAT_V1] = {.name = "v1",
                 .preamble = "A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, "
                             "detailed, and polite answers to the user's questions. ",
                 .human_open = "USER: ",
                 .system = "",
                 .human_close = " ASSISTANT:",
                 .answer_open = " ",
                 .answer_close = ""},
    [CHAT_LLAVA_LLAMA_2] = {.name = "llava_llama_2",
                            .preamble = "",
                            .human_open = "[INST] ",
                            .system = "<<SYS>>\nYou are a helpful language and vision assistant. You are able to understand the visual "
                                      "content that the user provides, and assist the user with a variety of tasks using natural "
                                      "language.\n<</SYS>>\n\n",
                            .human_close = " [/INST]",
                            .answer_open = " ",
                            .answer_close = " ",
                            .bos_each_round = true},
    [CHAT_PLAIN] = {.name = "plain",
                    .preamble = "",
                    .human_open = "",
                    .system = "",
                    .human_close = "",
                    .answer_open = "",
                    .answer_close = "\n",
                    .pictures_only = true},
};

const ChatFormat *chat_format(ChatTemplate t) { return &FORMATS[t]; }
