/* parsed.h: a row of JSON, parsed, or why it cannot be. Called by records.c and the feeds of public layouts. */
#ifndef GENLLAVA_DATA_RECORDS_PARSED_H
#define GENLLAVA_DATA_RECORDS_PARSED_H

#include "data/formats/json.h"
#include "data/formats/rows.h"

enum { ID_BYTES = 22, FAULT_BYTES = 256 };

/* *doc: freed and made anew. fault: "" where the row could be parsed, else why it could not ("3:14: ..."), and *ends_file: nothing behind
 * it can be read. number: rows of its file that came before. */
MUST_USE Status parsed_row(JsonDoc **doc, const Row *row, int64_t number, char fault[FAULT_BYTES], bool *ends_file);
/* An id as text: a string that is not empty, or an integer; NULL for anything else. */
const char *parsed_id(const Json *id, char buf[ID_BYTES]);
/* Whether a value is a string that can be a name: not empty, no NUL in it. */
bool parsed_is_name(const Json *v);
/* What is wrong with the name of a picture, behind "it ": an address in the web, or the picture itself ("data:…"); NULL: nothing is. */
const char *parsed_no_file(const char *name);
#endif
