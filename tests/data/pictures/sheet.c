/* Where the pictures of a contact sheet lie. */
#include "data/pictures/sheet.h"

#include "tests/harness.h"

static const uint8_t *pixel(const Image *im, int32_t y, int32_t x) { return im->rgb + 3 * ((size_t)y * (size_t)im->width + (size_t)x); }

TEST(a_sheet_has_its_pictures_in_rows_and_columns_and_is_white_between_them)
{
    uint8_t red[2 * 3 * 3], grey[2 * 3 * 3];
    for (int i = 0; i < 18; i++) {
        red[i] = i % 3 ? 0 : 200;
        grey[i] = 90;
    }
    Image sheet;
    CHECK_OK(sheet_create(&sheet, 2, 3, 3, 2));
    CHECK_INT(sheet.width, 3 * 3 + 2 * SHEET_GAP);
    CHECK_INT(sheet.height, 2 * 2 + SHEET_GAP);
    sheet_put(&sheet, 0, 1, &(Image){3, 2, red});
    sheet_put(&sheet, 1, 2, &(Image){3, 2, grey});
    int n_red = 0, n_grey = 0, n_white = 0;
    for (int32_t y = 0; y < sheet.height; y++)
        for (int32_t x = 0; x < sheet.width; x++) {
            const uint8_t *p = pixel(&sheet, y, x);
            n_red += p[0] == 200 && !p[1] && !p[2] && y < 2 && x >= 3 + SHEET_GAP && x < 6 + SHEET_GAP;
            n_grey += p[0] == 90 && y >= 2 + SHEET_GAP && x >= 6 + 2 * SHEET_GAP;
            n_white += p[0] == 255 && p[1] == 255 && p[2] == 255;
        }
    CHECK_INT(n_red, 6);
    CHECK_INT(n_grey, 6);
    CHECK_INT(n_white, sheet.width * sheet.height - 12);
    image_free(&sheet);
}

TEST(a_sheet_is_at_least_as_wide_as_high)
{
    static const int32_t COLUMNS[] = {1, 1, 2, 2, 2, 3, 3, 3, 3, 3, 4};
    for (int32_t n = 1; n <= 10; n++)
        CHECK_INT(sheet_columns(n), COLUMNS[n]);
}
