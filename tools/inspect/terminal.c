/* terminal.c: a picture in the cells of a terminal (inspect --show). A cell is about twice as high as wide, so it shows two pixels, one
 * above the other: the upper half of "▀" in one colour on a ground of the other. Where there are no colours a letter tells how bright the
 * two are. */
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "data/pictures/image.h"
#include "tools/inspect/inspect.h"

enum { CELLS_MAX = 64, ROWS_MAX = 64, CELLS_OF_PIPES = 48 };

typedef enum Colours { COLOURS_NONE, COLOURS_256, COLOURS_ALL } Colours;

/* What the terminal shows; other outputs get letters. */
static Colours colours_of(FILE *out)
{
    const char *term = getenv("TERM"), *more = getenv("COLORTERM"), *none = getenv("NO_COLOR");
    if (!isatty(fileno(out)) || (none && *none) || !term || !strcmp(term, "dumb"))
        return COLOURS_NONE;
    return more && (!strcmp(more, "truecolor") || !strcmp(more, "24bit")) ? COLOURS_ALL : COLOURS_256;
}

static int32_t cells_of(FILE *out)
{
    struct winsize w;
    if (!isatty(fileno(out)) || ioctl(fileno(out), TIOCGWINSZ, &w) || !w.ws_col)
        return CELLS_OF_PIPES;
    return w.ws_col < CELLS_MAX ? w.ws_col : CELLS_MAX;
}

/* Colour 16 … 231 of 256: each of red, green and blue in the steps 0, 95, 135, 175, 215, 255. */
static int cube(const uint8_t *rgb)
{
    int at = 0;
    for (int k = 0; k < 3; k++)
        at = at * 6 + (rgb[k] < 48 ? 0 : rgb[k] < 115 ? 1 : (rgb[k] - 35) / 40);
    return 16 + at;
}

static void put_colour(FILE *out, Colours colours, int ground, const uint8_t *rgb)
{
    if (colours == COLOURS_ALL)
        fprintf(out, "\033[%d;2;%d;%d;%dm", ground ? 48 : 38, rgb[0], rgb[1], rgb[2]);
    else
        fprintf(out, "\033[%d;5;%dm", ground ? 48 : 38, cube(rgb));
}

/* Dark to bright, by the mean of the two pixels' luma (ITU-R BT.601). */
static char letter(const uint8_t *upper, const uint8_t *lower)
{
    static const char RAMP[] = " .:-=+*#%@";
    int luma = 0;
    for (int k = 0; k < 3; k++)
        luma += (int[]){299, 587, 114}[k] * (upper[k] + lower[k]);
    return RAMP[luma * (int)(sizeof RAMP - 1) / (2 * 255 * 1000 + 1)];
}

static void put_cells(FILE *out, const Image *im, Colours colours)
{
    for (int32_t y = 0; y + 1 < im->height; y += 2) {
        for (int32_t x = 0; x < im->width; x++) {
            const uint8_t *upper = im->rgb + ((int64_t)y * im->width + x) * 3, *lower = upper + (int64_t)im->width * 3;
            if (colours == COLOURS_NONE) {
                fputc(letter(upper, lower), out);
                continue;
            }
            put_colour(out, colours, 0, upper);
            put_colour(out, colours, 1, lower);
            fputs("\u2580", out);
        }
        fputs(colours == COLOURS_NONE ? "\n" : "\033[0m\n", out);
    }
}

Status inspect_show(FILE *out, const Image *im)
{
    int32_t width = cells_of(out), height;
    Image small;
    width = width < im->width ? width : im->width;
    height = (int32_t)((int64_t)im->height * width / im->width);
    if (height > 2 * ROWS_MAX) { /* a tall picture would run off the screen, however narrow */
        width = (int32_t)((int64_t)im->width * 2 * ROWS_MAX / im->height);
        width = width ? width : 1;
        height = 2 * ROWS_MAX;
    }
    height += height % 2 ? 1 : height ? 0 : 2;
    TRY(image_resize(&small, im, width, height, FILTER_BICUBIC));
    put_cells(out, &small, colours_of(out));
    image_free(&small);
    return OK;
}
