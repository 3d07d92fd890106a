/* sheet.c: contact sheets (sheet.h). */
#include "data/pictures/sheet.h"

#include <string.h>

#include "kernels/base/arena.h"

int64_t sheet_width(int32_t columns, int32_t width) { return (int64_t)columns * (width + SHEET_GAP) - SHEET_GAP; }

Status sheet_create(Image *sheet, int32_t rows, int32_t columns, int32_t width, int32_t height)
{
    int64_t x = sheet_width(columns, width), y = sheet_width(rows, height);
    *sheet = (Image){0};
    if (x > INT32_MAX || y > INT32_MAX)
        return fail(ERR_USAGE, "a sheet of %dx%d pictures of %dx%d pixels is too large", columns, rows, width, height);
    size_t n_bytes = (size_t)x * (size_t)y * 3;
    uint8_t *rgb = mem_grow(NULL, n_bytes);
    if (!rgb)
        return fail(ERR_NOMEM, "a sheet of %dx%d pictures of %dx%d pixels: no memory for %zu bytes", columns, rows, width, height, n_bytes);
    memset(rgb, 255, n_bytes);
    *sheet = (Image){.width = (int32_t)x, .height = (int32_t)y, .rgb = rgb};
    return OK;
}

void sheet_put(Image *sheet, int32_t row, int32_t column, const Image *picture)
{
    const size_t line = (size_t)picture->width * 3, pitch = (size_t)sheet->width * 3;
    uint8_t *at = sheet->rgb + (size_t)row * (size_t)(picture->height + SHEET_GAP) * pitch + (size_t)column * (line + 3 * SHEET_GAP);
    for (int32_t y = 0; y < picture->height; y++)
        memcpy(at + (size_t)y * pitch, picture->rgb + (size_t)y * line, line);
}

int32_t sheet_columns(int32_t n)
{
    int32_t columns = 1;
    while ((int64_t)columns * columns < n)
        columns++;
    return columns;
}
