/* verdict.h: the stages that a reply or a record goes through before it is one to train on, and the reasons that end it there. Used by
 * ingest and filter. */
#ifndef GENLLAVA_DATA_CURATE_VERDICT_H
#define GENLLAVA_DATA_CURATE_VERDICT_H

#include <stdbool.h>
#include <stdint.h>

#include "kernels/base/status.h"

/* In order. */
typedef enum Stage {
    STAGE_EXCLUSION, /* filter alone */
    STAGE_JOIN,
    STAGE_TRANSPORT,
    STAGE_REFUSAL,
    STAGE_PARSE,
    STAGE_SCHEMA,
    STAGE_CONSISTENCY,
    STAGE_SCORES,
    STAGE_DEDUPE,
    STAGE_NONE /* it has come through */
} Stage;

/* X(name, stage, reason as it is written, whether the request is to be sent again) */
#define REASON_LIST(X)                                                                     \
    X(REASON_NONE, STAGE_NONE, "", false)                                                  \
    X(REASON_EXCLUDED, STAGE_EXCLUSION, "excluded", false)                                 \
    X(REASON_ABSENT, STAGE_JOIN, "absent", true)                                           \
    X(REASON_ERROR, STAGE_TRANSPORT, "error", true)                                        \
    X(REASON_HTTP, STAGE_TRANSPORT, "http", false) /* of some codes: true */               \
    X(REASON_LENGTH, STAGE_TRANSPORT, "length", true)                                      \
    X(REASON_CONTENT_FILTER, STAGE_TRANSPORT, "content_filter", false)                     \
    X(REASON_FINISH, STAGE_TRANSPORT, "finish", false)                                     \
    X(REASON_EMPTY, STAGE_TRANSPORT, "empty", true)                                        \
    X(REASON_REFUSAL, STAGE_REFUSAL, "refusal", false)                                     \
    X(REASON_BAD_JSON, STAGE_PARSE, "bad_json", true)                                      \
    X(REASON_KEYS, STAGE_SCHEMA, "keys", false)                                            \
    X(REASON_TOO_SHORT, STAGE_SCHEMA, "too_short", false)                                  \
    X(REASON_TOO_LONG, STAGE_SCHEMA, "too_long", false)                                    \
    X(REASON_MARKER, STAGE_SCHEMA, "marker", false)                                        \
    X(REASON_MENTIONS, STAGE_SCHEMA, "mentions", false)                                    \
    X(REASON_ENCODING, STAGE_SCHEMA, "encoding", false)                                    \
    X(REASON_LANGUAGE, STAGE_SCHEMA, "language", false)                                    \
    X(REASON_SAME_AS_SOURCE, STAGE_CONSISTENCY, "same_as_source", false)                   \
    X(REASON_INSTRUCTION_IS_CAPTION, STAGE_CONSISTENCY, "instruction_is_caption", false)   \
    X(REASON_NO_FEATURES, STAGE_SCORES, "no_features", false)                              \
    X(REASON_CLIP, STAGE_SCORES, "clip", false)                                            \
    X(REASON_SAME_TEXT, STAGE_DEDUPE, "same_text", false)                                  \
    X(REASON_TOO_FREQUENT, STAGE_DEDUPE, "too_frequent", false)

typedef enum Reason {
#define REASON_ENUM(name, stage, text, retry) name,
    REASON_LIST(REASON_ENUM)
#undef REASON_ENUM
        N_REASONS
} Reason;

typedef struct Verdict {
    Reason reason;
    bool retry;
    char message[256];
} Verdict;

Stage reason_stage(Reason r);
const char *stage_name(Stage s);
const char *reason_name(Reason r);
/* The first reason stays. */
void verdict_set(Verdict *v, Reason r, const char *format, ...) PRINTF_LIKE(3, 4);
#endif
