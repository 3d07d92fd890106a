/* verdict.c: names of stages and reasons, and the verdict on one reply or record (verdict.h). */
#include "data/curate/verdict.h"

static const char *const STAGES[] = {"exclusion", "join", "transport", "refusal", "parse", "schema", "consistency", "scores", "dedupe", ""};

static const struct {
    Stage stage;
    const char *text;
    bool retry;
} REASONS[] = {
#define REASON_ROW(name, stage, text, retry) {stage, text, retry},
    REASON_LIST(REASON_ROW)
#undef REASON_ROW
};

Stage reason_stage(Reason r) { return REASONS[r].stage; }
const char *stage_name(Stage s) { return STAGES[s]; }
const char *reason_name(Reason r) { return REASONS[r].text; }

void verdict_set(Verdict *v, Reason r, const char *format, ...)
{
    if (v->reason)
        return;
    va_list args;
    va_start(args, format);
    status_text_of(v->message, sizeof v->message, format, args);
    va_end(args);
    v->reason = r;
    v->retry = REASONS[r].retry;
}
