/* GIF: the first frame as Pillow shows it. giflib unpacks the codes; the canvas is the screen, widened where the frame leaves it, and
 * what the frame does not cover has the transparent index, else index 0. */
#include <string.h>

#include <gif_lib.h>

#include "data/pictures/image_codecs.h"
#include "kernels/base/arena.h"

enum { SCREEN_BYTES = 13, BLOCK_FRAME = ',', BLOCK_EXTENSION = '!', BLOCK_END = ';', EXT_CONTROL = 0xf9, FRAME_BYTES = 9, NO_INDEX = -1 };

/* What stands before the first frame's pixels. */
typedef struct Layout {
    int32_t width, height; /* of the canvas */
    int32_t left, top, frame_width, frame_height;
    int transparent; /* index, or NO_INDEX */
} Layout;

static size_t colour_table_bytes(int flags) { return flags & 0x80 ? (size_t)3 << ((flags & 7) + 1) : 0; }

/* Steps over the sub-blocks from `at`; 0 when the file ends first. */
static size_t skip_blocks(ImageBytes file, size_t at)
{
    while (at < file.n && file.at[at])
        at += 1 + (size_t)file.at[at];
    return at < file.n ? at + 1 : 0;
}

static Status ends_early(ImageBytes file, Reject *reject)
{
    return REJECT(reject, REJECT_TRUNCATED, "GIF: it ends after %zu bytes, before its first picture", file.n);
}

static Status read_layout(Layout *l, ImageBytes file, Reject *reject)
{
    if (file.n < SCREEN_BYTES)
        return ends_early(file, reject);
    *l = (Layout){.width = (int32_t)image_u16le(file.at + 6), .height = (int32_t)image_u16le(file.at + 8), .transparent = NO_INDEX};
    size_t at = SCREEN_BYTES + colour_table_bytes(file.at[10]);
    while (at < file.n && file.at[at] != BLOCK_FRAME) {
        int block = file.at[at++];
        if (block == BLOCK_END)
            return REJECT(reject, REJECT_CORRUPT, "GIF: it holds no picture");
        if (block != BLOCK_EXTENSION)
            continue;
        if (file.n - at >= 6 && file.at[at] == EXT_CONTROL && file.at[at + 1] >= 4 && file.at[at + 2] & 1)
            l->transparent = file.at[at + 5];
        at = skip_blocks(file, at + 1);
        if (!at)
            return ends_early(file, reject);
    }
    if (at >= file.n || file.n - at - 1 < FRAME_BYTES)
        return ends_early(file, reject);
    const uint8_t *frame = file.at + at + 1;
    l->left = (int32_t)image_u16le(frame);
    l->top = (int32_t)image_u16le(frame + 2);
    l->frame_width = (int32_t)image_u16le(frame + 4);
    l->frame_height = (int32_t)image_u16le(frame + 6);
    if (l->left + l->frame_width > l->width)
        l->width = l->left + l->frame_width;
    if (l->top + l->frame_height > l->height)
        l->height = l->top + l->frame_height;
    return OK;
}

Status image_gif_header(ImageHeader *h, ImageBytes file, Reject *reject)
{
    Layout l;
    TRY(read_layout(&l, file, reject));
    h->width = l.width;
    h->height = l.height;
    return OK;
}

typedef struct Source {
    ImageBytes file;
    size_t at;
    bool ended;
} Source;

static int on_read(GifFileType *gif, GifByteType *to, int wanted)
{
    Source *s = gif->UserData;
    size_t left = s->file.n - s->at, n = (size_t)wanted < left ? (size_t)wanted : left;
    s->ended = s->ended || n < (size_t)wanted;
    memcpy(to, s->file.at + s->at, n);
    s->at += n;
    return (int)n;
}

/* Up to the first frame's pixels. */
static bool open_frame(GifFileType *gif)
{
    for (GifRecordType kind;;) {
        if (DGifGetRecordType(gif, &kind) != GIF_OK)
            return false;
        if (kind == IMAGE_DESC_RECORD_TYPE)
            return DGifGetImageDesc(gif) == GIF_OK;
        if (kind != EXTENSION_RECORD_TYPE)
            return false;
        int code;
        GifByteType *block;
        if (DGifGetExtension(gif, &code, &block) != GIF_OK)
            return false;
        while (block)
            if (DGifGetExtensionNext(gif, &block) != GIF_OK)
                return false;
    }
}

/* As Pillow has it: without a colour table, or with one that only says "index i is grey i", indices are greys; else an index without
 * an entry is black. */
static void load_palette(uint8_t palette[256][3], const GifFileType *gif)
{
    const ColorMapObject *map = gif->Image.ColorMap ? gif->Image.ColorMap : gif->SColorMap;
    bool greys = true;
    memset(palette, 0, 256 * sizeof *palette);
    for (int i = 0; map && i < map->ColorCount && i < 256; i++) {
        GifColorType c = map->Colors[i];
        palette[i][0] = c.Red;
        palette[i][1] = c.Green;
        palette[i][2] = c.Blue;
        greys = greys && c.Red == i && c.Green == i && c.Blue == i;
    }
    for (int i = 0; greys && i < 256; i++)
        memset(palette[i], i, 3);
}

static bool read_frame(uint8_t *rgb, const Layout *l, GifFileType *gif, uint8_t *line, uint8_t palette[256][3])
{
    static const int START[4] = {0, 4, 2, 1}, STEP[4] = {8, 8, 4, 2}; /* of an interlaced frame */
    int passes = gif->Image.Interlace ? 4 : 1;
    for (int pass = 0; pass < passes; pass++) {
        int step = passes == 1 ? 1 : STEP[pass];
        for (int32_t y = passes == 1 ? 0 : START[pass]; y < l->frame_height; y += step) {
            if (DGifGetLine(gif, line, l->frame_width) != GIF_OK)
                return false;
            uint8_t *to = rgb + ((size_t)(l->top + y) * (size_t)l->width + (size_t)l->left) * 3;
            for (int32_t x = 0; x < l->frame_width; x++)
                memcpy(to + 3 * (size_t)x, palette[line[x]], 3);
        }
    }
    return true;
}

static bool decode_all(uint8_t *rgb, const Layout *l, GifFileType *gif, uint8_t *line)
{
    if (!open_frame(gif) || gif->Image.Width != l->frame_width || gif->Image.Height != l->frame_height || gif->Image.Left != l->left ||
        gif->Image.Top != l->top)
        return false;
    uint8_t palette[256][3];
    load_palette(palette, gif);
    if (l->frame_width < l->width || l->frame_height < l->height)
        for (size_t i = 0; i < (size_t)l->width * (size_t)l->height; i++)
            memcpy(rgb + 3 * i, palette[l->transparent == NO_INDEX ? 0 : l->transparent], 3);
    return read_frame(rgb, l, gif, line, palette);
}

Status image_gif_decode(uint8_t *rgb, const ImageHeader *h, ImageBytes file, Reject *reject)
{
    (void)h;
    Layout l;
    TRY(read_layout(&l, file, reject));
    if (!l.frame_width || !l.frame_height)
        return REJECT(reject, REJECT_CORRUPT, "GIF: its first picture is %dx%d pixels", l.frame_width, l.frame_height);
    Source source = {.file = file};
    int code = 0;
    GifFileType *gif = DGifOpen(&source, on_read, &code);
    if (!gif)
        return REJECT(reject, source.ended ? REJECT_TRUNCATED : REJECT_CORRUPT, "GIF: its header cannot be read");
    uint8_t *line = mem_alloc((size_t)l.frame_width);
    bool good = line && decode_all(rgb, &l, gif, line);
    bool no_memory = !line || gif->Error == D_GIF_ERR_NOT_ENOUGH_MEM;
    mem_free(line);
    DGifCloseFile(gif, &code);
    if (good)
        return OK;
    if (no_memory)
        return fail(ERR_NOMEM, "GIF of %dx%d pixels: no memory", l.width, l.height);
    if (source.ended)
        return REJECT(reject, REJECT_TRUNCATED, "GIF: the file ends before the picture does");
    return REJECT(reject, REJECT_CORRUPT, "GIF: its picture is damaged");
}
