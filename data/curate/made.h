/* made.h: a record made of a request's pictures and the texts of its reply. Called by ingest. */
#ifndef GENLLAVA_DATA_CURATE_MADE_H
#define GENLLAVA_DATA_CURATE_MADE_H

#include "data/curate/answer.h"
#include "data/curate/features.h"
#include "data/curate/request_set.h"

/* Used again for the next record; zero it to begin with. */
typedef struct Made {
    Record record; /* borrows from the request, the reply and what is below */
    RecordTurn *turns;
    int turns_room;
    char *text; /* of turns and prompts */
    size_t text_n, text_room;
    RecordScore scores[N_CLIP_SCORES];
} Made;

/* model: of the reply; may be NULL. */
MUST_USE Status made_fill(Made *m, const Recipe *recipe, const Request *request, const Answer *answer, const char *model);
/* Scores that were computed for it. */
void made_score(Made *m, const double score[N_CLIP_SCORES]);
void made_free(Made *m);
#endif
