/* terminal.c: the size of a picture drawn in letters (inspect --show). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/pictures/image.h"
#include "kernels/base/arena.h"
#include "tests/harness.h"
#include "tools/inspect/inspect.h"

TEST(inspect_draws_no_more_than_a_screen)
{
    static const struct {
        int32_t width, height, columns, rows;
    } CASES[] = {{48, 96, 48, 48}, {1, 9000, 1, 64}, {100, 400, 32, 64}, {9000, 1, 48, 1}, {1, 1, 1, 1}};
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        Image im = {.width = CASES[i].width, .height = CASES[i].height};
        im.rgb = mem_alloc((size_t)im.width * (size_t)im.height * 3);
        char *text = NULL;
        size_t n = 0;
        FILE *out = open_memstream(&text, &n);
        REQUIRE(im.rgb && out);
        CHECK_OK(inspect_show(out, &im));
        REQUIRE(!fclose(out));
        CHECK_INT(strcspn(text, "\n"), CASES[i].columns);
        CHECK_INT(n, (CASES[i].columns + 1) * CASES[i].rows);
        image_free(&im);
        free(text);
    }
}
