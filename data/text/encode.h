/* encode.h: a record's conversation to token ids and masks, in one pass over segments (never by re-splitting text). */
#ifndef GENLLAVA_DATA_TEXT_ENCODE_H
#define GENLLAVA_DATA_TEXT_ENCODE_H

#include "data/record.h"
#include "data/text/tokenizer.h"

typedef enum ChatTemplate { CHAT_MISTRAL_INSTRUCT, CHAT_V1, CHAT_LLAVA_LLAMA_2, CHAT_PLAIN } ChatTemplate;

typedef struct EncoderOptions {
    ChatTemplate chat;
    int32_t vocab_size;             /* V of the model's config.json: added ids start here */
    const char *task_text[N_TASKS]; /* NULL: none */
    int32_t n_visual;               /* N of [IMG0] … */
    int64_t max_tokens;             /* of the expanded sample */
    int32_t patches;                /* P: rows an image expands to; 0 without a vision tower */
} EncoderOptions;

/* Added ids: task tokens that are set (understand, generate, edit), then visual tokens. -1 when absent. */
int32_t encoder_task_id(const EncoderOptions *o, Task task);
int32_t encoder_visual_id(const EncoderOptions *o, int k);
int32_t encoder_added_count(const EncoderOptions *o);
/* "[I2T]", "[IMG0]" …, k from 0 to encoder_added_count-1; buf holds [IMGk]. */
const char *encoder_added_text(const EncoderOptions *o, int k, char *buf, size_t n);

/* A vocabulary larger than the model's embedding, or with a token for what the template writes as text, is an error. A smaller one is said:
 * vocabularies may be padded. */
MUST_USE Status encoder_check(const EncoderOptions *o, const Tokenizer *tok, const char *tokenizer_path);

/* Unexpanded ids (ID_IMAGE at an image) and mask bytes; memory is the caller's struct's, reused between calls. */
typedef struct EncodedSample {
    int32_t *id;
    uint8_t *mask;
    int64_t n, capacity;
    int32_t n_images; /* input images kept, in order: the others stood in rounds that were cut */
    int32_t n_runs;   /* runs of visual tokens kept, each the place of a target image */
    int32_t n_trained;
    int64_t n_cut;    /* trained tokens that max_tokens cost */
    int64_t expanded; /* n - n_images + n_images·P */
    int64_t whole;    /* the same of the whole record, before it was cut */
    char *text;       /* scratch */
    size_t text_capacity;
    uint32_t *end; /* scratch */
} EncodedSample;
void encoded_free(EncodedSample *s);

/* Encodes, cuts to max_tokens, and says in *reject (with a sentence in message) when the row cannot be used. */
MUST_USE Status encode_record(EncodedSample *out, const EncoderOptions *o, const Tokenizer *tok, const Record *rec, Reject *reject,
                              char message[256]);
/* The prompt of a question, the last of `turns`, after earlier turns: everything up to where the answer starts, nothing trained, no
 * trailing space, never cut. Without any <image> in the questions the n_images images stand in the first one; otherwise their number must
 * agree. task: the task token to use when there are images, or for generate always. */
MUST_USE Status encode_prompt(EncodedSample *out, const EncoderOptions *o, const Tokenizer *tok, RecordText system, const RecordTurn *turns,
                              int n_turns, int n_images, Task task);
#endif
