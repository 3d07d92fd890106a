/* sent_picture.c: see sent_picture.h. */
#include "data/curate/sent_picture.h"

#include "kernels/base/arena.h"

enum { QUALITY = 90 };

static const char *const MIMES[] = {
    [IMAGE_JPEG] = "image/jpeg", [IMAGE_PNG] = "image/png", [IMAGE_GIF] = "image/gif", [IMAGE_WEBP] = "image/webp"};

/* A side of the smaller picture: side · most / longer, rounded, at least a pixel. */
static int32_t scale(int32_t side, int32_t longer, int32_t most)
{
    int32_t n = (int32_t)((2 * (int64_t)side * most + longer) / (2 * (int64_t)longer));
    return n ? n : 1;
}

static Status make_smaller(SentPicture *p, const Image *im, int32_t longer, int32_t max_side)
{
    Image small = {0};
    TRY(image_resize(&small, im, scale(im->width, longer, max_side), scale(im->height, longer, max_side), FILTER_LANCZOS));
    Status s = image_encode_jpeg(small.rgb, small.width, small.height, QUALITY, &p->smaller, &p->n);
    image_free(&small);
    p->bytes = p->smaller;
    p->mime = MIMES[IMAGE_JPEG];
    return s;
}

Status sent_picture_load(SentPicture *p, const char *root, const char *path, int32_t max_side)
{
    Image im = {0};
    Reject why;
    mem_free(p->smaller);
    p->smaller = NULL;
    TRY(picture_load(&p->file, root, path));
    TRY_IN(image_decode(&im, p->file.bytes, p->file.n, IMAGE_MAX_PIXELS, &why), "picture %s", path);
    int32_t longer = im.width > im.height ? im.width : im.height;
    Status s = OK;
    p->bytes = p->file.bytes;
    p->n = p->file.n;
    p->mime = MIMES[image_identify(p->bytes, p->n)];
    if (longer > max_side)
        s = make_smaller(p, &im, longer, max_side);
    image_free(&im);
    return s;
}

void sent_picture_free(SentPicture *p)
{
    picture_buffer_free(&p->file);
    mem_free(p->smaller);
    *p = (SentPicture){.mime = NULL};
}
