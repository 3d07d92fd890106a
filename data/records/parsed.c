/* parsed.c: see parsed.h. */
#include "data/records/parsed.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char CUT_OFF[] = "was cut off";

/* Of a row behind which nothing can be read. */
static void add_end(char *fault, const char *what, int64_t number)
{
    size_t at = strlen(fault);
    at += (size_t)snprintf(fault + at, FAULT_BYTES - at, "; the file %s", what);
    if (number && at < FAULT_BYTES)
        snprintf(fault + at, FAULT_BYTES - at, ", %" PRId64 " row%s came before", number, status_plural(number));
}

Status parsed_row(JsonDoc **doc, const Row *row, int64_t number, char fault[FAULT_BYTES], bool *ends_file)
{
    static const char HERE[] = "row";
    json_free(doc);
    *fault = 0;
    *ends_file = false;
    if (row->error) {
        *ends_file = row->last;
        snprintf(fault, FAULT_BYTES, "%s", row->error);
        if (row->cut_off || row->last)
            add_end(fault, row->cut_off ? CUT_OFF : "cannot be read any further", number);
        return OK;
    }
    Status s = json_parse_at(doc, row->text, row->n, HERE, row->line, row->column);
    if (s != ERR_DATA)
        return s;
    *ends_file = !row->whole && !row->element && row->text[row->n - 1] != '}';
    snprintf(fault, FAULT_BYTES, "%s", status_message() + sizeof HERE); /* from the line number on */
    if (*ends_file)
        add_end(fault, CUT_OFF, number);
    return OK;
}

const char *parsed_id(const Json *id, char buf[ID_BYTES])
{
    if (id && id->kind == JSON_STRING && id->length)
        return id->string;
    if (!id || id->kind != JSON_INT)
        return NULL;
    snprintf(buf, ID_BYTES, "%" PRId64, id->integer);
    return buf;
}

bool parsed_is_name(const Json *v) { return v && v->kind == JSON_STRING && v->length && strlen(v->string) == v->length; }

const char *parsed_no_file(const char *name)
{
    const char *colon = strchr(name, ':');
    if (colon && !strncmp(name, "data:", 5))
        return "is the picture itself (data:), expected the name of a file that holds it";
    if (colon && colon > name && !strncmp(colon, "://", 3))
        return "is an address, expected the name of a file that was fetched from there";
    return NULL;
}
