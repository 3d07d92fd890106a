/* record_line.c: reads a line of records (record_line.h). */
#include "data/curate/record_line.h"

#include "kernels/base/arena.h"

Status record_line_read(RecordLine *r, const Row *row, const char *name)
{
    static const MixtureSource ANY; /* no filters, no defaults */
    Record *rec = &r->record;
    const char *uid = NULL;
    json_free(&r->doc);
    *rec = (Record){.images = rec->images, .turns = rec->turns, .scores = rec->scores, .weight = 1};
    if (row->error)
        return fail(ERR_DATA, "%s:%s", name, row->error);
    TRY(json_parse_at(&r->doc, row->text, row->n, name, row->line, row->column));
    TRY(row_fields(rec, &r->room, json_root(r->doc), &ANY, &uid));
    if (rec->reject && rec->reject != REJECT_EXCLUDED)
        return fail(ERR_DATA, "%s:%d: no record: %s", name, row->line, rec->message);
    if (!uid)
        return fail(ERR_DATA, "%s:%d: no unified record: it has no \"uid\"; prepare --export makes unified records of other layouts", name,
                    row->line);
    rec->uid = uid;
    const Json *source = json_get(json_root(r->doc), "source");
    r->source = source && source->kind == JSON_STRING ? source->string : NULL;
    return OK;
}

void record_line_free(RecordLine *r)
{
    json_free(&r->doc);
    mem_free(r->record.images);
    mem_free(r->record.turns);
    mem_free(r->record.scores);
    *r = (RecordLine){.doc = NULL};
}
