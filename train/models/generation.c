/* generation.c: end tokens and other settings of generation_config.json (generation.h). */
#include "train/models/generation.h"

#include <string.h>

#include "data/formats/file.h"
#include "kernels/base/log.h"

static const FieldRule SAMPLING[] = {{"epsilon_cutoff", ""}, {"eta_cutoff", ""}, {"min_p", ""},      {"temperature", "1"}, {"top_h", ""},
                                     {"top_k", NULL},        {"top_p", "1"},     {"typical_p", "1"}, {0}};

const FieldRule GENERATION_RULES[] = {
    {"_from_model_config", NULL},
    {"assistant_confidence_threshold", NULL},
    {"assistant_early_exit", NULL},
    {"assistant_ensemble_weight", NULL},
    {"assistant_lookbehind", NULL},
    {"bad_words_ids", ""},
    {"begin_suppress_tokens", ""},
    {"bos_token_id", NULL},
    {"cache_config", NULL},
    {"cache_implementation", NULL},
    {"chat_format", NULL},
    {"compile_config", NULL},
    {"constraints", ""},
    {"continuous_batching_config", NULL},
    {"decoder_start_token_id", NULL},
    {"disable_compile", NULL},
    {"diversity_penalty", ""},
    {"do_sample", ""},
    {"dola_layers", ""},
    {"early_stopping", NULL}, /* of beams */
    {"encoder_no_repeat_ngram_size", ""},
    {"encoder_repetition_penalty", "1"},
    {"eos_token_id", NULL},
    {"epsilon_cutoff", NULL}, /* of sampling, as the others of that table */
    {"eta_cutoff", NULL},
    {"exponential_decay_length_penalty", ""},
    {"force_words_ids", ""},
    {"forced_bos_token_id", ""},
    {"forced_decoder_ids", ""},
    {"forced_eos_token_id", ""},
    {"generation_kwargs", ""},
    {"guidance_scale", "1"},
    {"is_assistant", NULL},
    {"length_penalty", NULL}, /* of beams */
    {"low_memory", NULL},
    {"max_cache_len", NULL},
    {"max_length", "20"}, /* the default of older releases, written without being meant */
    {"max_matching_ngram_size", NULL},
    {"max_new_tokens", ""},
    {"max_time", ""},
    {"min_length", ""},
    {"min_new_tokens", ""},
    {"min_p", NULL},
    {"no_repeat_ngram_size", ""},
    {"num_assistant_tokens", NULL},
    {"num_assistant_tokens_schedule", NULL},
    {"num_beam_groups", "1"},
    {"num_beams", "1"},
    {"num_return_sequences", "1"},
    {"output_attentions", NULL},
    {"output_hidden_states", NULL},
    {"output_logits", NULL},
    {"output_scores", NULL},
    {"pad_token_id", NULL},
    {"penalty_alpha", ""},
    {"prefill_chunk_size", NULL},
    {"prompt_lookup_num_tokens", NULL},
    {"remove_invalid_values", NULL},
    {"renormalize_logits", NULL},
    {"repetition_penalty", "1"},
    {"return_dict_in_generate", NULL},
    {"sequence_bias", ""},
    {"speculation_type", NULL},
    {"stop_strings", ""},
    {"suppress_tokens", ""},
    {"target_lookbehind", NULL},
    {"temperature", NULL},
    {"token_healing", ""},
    {"top_h", NULL},
    {"top_k", NULL},
    {"top_p", NULL},
    {"transformers_version", NULL},
    {"typical_p", NULL},
    {"use_cache", NULL},
    {"use_mtp", NULL},
    {"watermarking_config", ""},
    {0},
};

static void add_end(JsonFields *f, EndTokens *e, const Json *v)
{
    if (v->kind != JSON_INT || v->integer < 0 || v->integer > INT32_MAX)
        fields_refuse(f, v, "eos_token_id", "is not a token's number, nor a list of them");
    else if (e->n == END_TOKENS_MAX)
        fields_refuse(f, v, "eos_token_id", "is a list of more than %d numbers", END_TOKENS_MAX);
    else if (!generation_ends_at(e, (int32_t)v->integer))
        e->id[e->n++] = (int32_t)v->integer;
}

static void read_ends(JsonFields *f, EndTokens *e)
{
    const Json *v = fields_get(f->top, "eos_token_id");
    if (v && v->kind != JSON_ARRAY)
        add_end(f, e, v);
    for (const Json *each = v && v->kind == JSON_ARRAY ? v->child : NULL; each; each = each->next)
        add_end(f, e, each);
}

/* Keys that only config.json has are its reader's matter. */
static void warn_of_others(const JsonFields *f, bool is_config)
{
    const FieldClass all = {.tables = {GENERATION_RULES}}, sampling = {.tables = {SAMPLING}};
    const Json *sample = fields_get(f->top, "do_sample");
    bool samples = sample && sample->kind == JSON_BOOL && sample->boolean;
    for (const Json *v = f->top->child; v; v = v->next) {
        char shown[64];
        bool harmless = (is_config && !fields_rule(&all, v->key)) ||
                        (fields_harmless(&all, v) && !(samples && fields_rule(&sampling, v->key) && !fields_harmless(&sampling, v)));
        if (!harmless)
            log_warn("%s:%d:%d: %s is %s, which is not followed: answers are those of generate's own options", f->file, v->line, v->column,
                     v->key, json_show(v, shown, sizeof shown));
    }
}

static Status read_file(EndTokens *e, const char *folder, const char *name, bool warn)
{
    JsonFields f;
    TRY(fields_open(&f, folder, name));
    read_ends(&f, e);
    if (!f.status && warn)
        warn_of_others(&f, !strcmp(name, "config.json"));
    Status s = f.status;
    fields_close(&f);
    return s;
}

Status generation_read(EndTokens *e, const char *folder, bool warn)
{
    char path[PATH_MAX];
    TRY(read_file(e, folder, "config.json", warn));
    return file_exists(file_join(path, folder, "generation_config.json")) ? read_file(e, folder, "generation_config.json", warn) : OK;
}

bool generation_ends_at(const EndTokens *e, int32_t id)
{
    for (int i = 0; i < e->n; i++)
        if (e->id[i] == id)
            return true;
    return false;
}
