/* A picture of pictures: the first of those drawn and of those changed. Called by the checker (sketches_check.c). */
#include "data/pictures/png_write.h"
#include "data/pictures/sheet.h"
#include "tools/worlds/sketches.h"

Status sketch_sheet_add(SketchSheet *s, const Image *before, const Image *picture)
{
    const int changed = before != NULL, room = SHEET_ROWS * SHEET_COLUMNS / (changed ? 2 : 1);
    if (s->n[changed] == room)
        return OK;
    if (!s->sheet.rgb)
        TRY(sheet_create(&s->sheet, 2 * SHEET_ROWS, SHEET_COLUMNS, picture->width, picture->height));
    if (sheet_width(SHEET_COLUMNS, picture->width) != s->sheet.width)
        return fail(ERR_DATA, "the pictures of a sheet have one size, and here is one of %d pixels a side", picture->width);
    const int place = s->n[changed]++ * (changed ? 2 : 1), row = changed * SHEET_ROWS + place / SHEET_COLUMNS;
    if (changed)
        sheet_put(&s->sheet, row, place % SHEET_COLUMNS, before);
    sheet_put(&s->sheet, row, place % SHEET_COLUMNS + changed, picture);
    return OK;
}

Status sketch_sheet_write(const SketchSheet *s, const char *file)
{
    return s->sheet.rgb ? png_write(file, &s->sheet, NULL, 0) : fail(ERR_DATA, "there is no picture for %s", file);
}
