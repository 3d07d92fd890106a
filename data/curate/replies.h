/* replies.h: the replies to a set of requests, from any number of files in any order: which of them counts for each request. Called by
 * ingest. */
#ifndef GENLLAVA_DATA_CURATE_REPLIES_H
#define GENLLAVA_DATA_CURATE_REPLIES_H

#include "data/curate/answer.h"
#include "data/curate/reply.h"
#include "data/curate/request_set.h"
#include "data/formats/line_file.h"

/* A line of a reply, read and judged; zero it to begin with. */
typedef struct Judged {
    JsonDoc *doc;
    BatchBody reply;
    Answer answer;
    Verdict verdict; /* of the stages transport to consistency */
} Judged;
/* src_prompt: of the request. */
MUST_USE Status judge_line(Judged *j, const Recipe *recipe, const char *src_prompt, const char *text, size_t n);
void judged_free(Judged *j);

/* What counts for a request so far. */
typedef struct BestReply {
    LinePlace place;
    bool any;
    int8_t stage; /* how far it gets; -1: not judged, since there is no other */
} BestReply;

typedef struct Replies {
    RequestSet *requests;
    LineFiles files;
    BestReply *best; /* of each request */
    LineText text;   /* of the line that was read last */
    Request request; /* whose replies are compared */
    int64_t lines, bad_lines, unknown_ids, duplicates;
} Replies;

/* Reads all files. requests: borrowed until replies_close. */
MUST_USE Status replies_read(Replies *r, RequestSet *requests, const char *const *paths, int n);
void replies_close(Replies *r);
/* Judges what counts for a request into zeroed *j: the reply that gets furthest, of equals that whose line is the first by its bytes. */
MUST_USE Status replies_judge(Replies *r, Judged *j, const Request *request, size_t number);
#endif
