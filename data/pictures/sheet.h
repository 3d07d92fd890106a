/* sheet.h: contact sheets: pictures of one size beside and below each other, with a narrow white gap. Called by generate (--grid) and by
 * samples of a run. */
#ifndef GENLLAVA_DATA_PICTURES_SHEET_H
#define GENLLAVA_DATA_PICTURES_SHEET_H

#include "data/pictures/image.h"

enum { SHEET_GAP = 4 }; /* pixels between pictures */

/* A sheet of rows × columns places, all white; image_free. width, height: of a picture. */
MUST_USE Status sheet_create(Image *sheet, int32_t rows, int32_t columns, int32_t width, int32_t height);
/* Puts a picture in a place; it has the size that the sheet was made for. */
void sheet_put(Image *sheet, int32_t row, int32_t column, const Image *picture);
/* Pixels across so many pictures of a width, with their gaps. */
int64_t sheet_width(int32_t columns, int32_t width);
/* Columns of a sheet of n pictures that is as square as can be, and not higher than wide. */
int32_t sheet_columns(int32_t n);
#endif
