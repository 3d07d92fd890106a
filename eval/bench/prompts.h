/* prompts.h: sentences that benchmarks put behind their questions, as LLaVA does. */
#ifndef GENLLAVA_EVAL_BENCH_PROMPTS_H
#define GENLLAVA_EVAL_BENCH_PROMPTS_H

#define SHORT_ANSWER "\nAnswer the question using a single word or phrase."
#define OPTION_LETTER "\nAnswer with the option's letter from the given choices directly."
#define OPTION_LETTER_CN "\n请直接回答选项字母。"
#endif
