/* request_set.h: the requests of a folder that `curate request` made (request_files.h), as ingest needs them: the recipe, the number of an
 * id, and what is known of a request. In memory are the ids and places alone. */
#ifndef GENLLAVA_DATA_CURATE_REQUEST_SET_H
#define GENLLAVA_DATA_CURATE_REQUEST_SET_H

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>

#include "data/curate/ids.h"
#include "data/curate/recipe.h"
#include "data/curate/verdict.h"
#include "data/formats/json.h"
#include "data/formats/line_file.h"
#include "data/record.h"

typedef struct RequestSet {
    char folder[PATH_MAX], path[PATH_MAX]; /* of records.jsonl */
    Recipe recipe;
    Table ids; /* the number of an id is that of its request */
    LineFiles records;
    LinePlace *places; /* of a request's line there */
    size_t room;
    LineText text, head; /* of the request that was read last; of its line */
    int file;            /* the request file that is open as `lines`, or -1 */
    int lines;
} RequestSet;

/* What records.jsonl says of a request; valid until the next one is read, or freed. */
typedef struct Request {
    JsonDoc *doc;
    const char *custom_id, *uid, *source, *split, *license, *src_prompt; /* but the first two may be NULL */
    RecordImage *images;
    int n_images, room;
    int file; /* the line itself: in which request file, where, how long */
    int64_t offset, bytes;
} Request;

/* Damage is ERR_DATA; a folder or file that is not there, ERR_MISSING. */
MUST_USE Status request_set_open(RequestSet *s, const char *folder);
void request_set_close(RequestSet *s);
MUST_USE Status request_read(RequestSet *s, Request *r, size_t number);
void request_free(Request *r);

/* What a request that is sent again has instead: after a reply that was cut off twice the token limit, after one that was no JSON a
 * sentence behind its text. Otherwise its line stays as it is. */
typedef struct Again {
    size_t head, replace; /* bytes that are copied, then left out for `text` */
    char text[320];
    int64_t n_bytes; /* of the whole line, its newline counted */
} Again;
MUST_USE Status request_again(RequestSet *s, Again *a, const Request *r, Reason why);
MUST_USE Status request_write_again(RequestSet *s, const Again *a, const Request *r, FILE *out);
#endif
