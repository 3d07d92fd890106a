/* WebP: libwebp; of an animation the first frame on a black canvas. Alpha is dropped without compositing. */
#include <limits.h>
#include <string.h>

#include <webp/decode.h>
#include <webp/demux.h>

#include "data/pictures/image_codecs.h"

enum { RIFF_HEAD = 12, CHUNK_HEAD = 8, LONGEST_HEAD = 10, VP8L_MAGIC = 0x2f };

static Status ends_early(ImageBytes file, Reject *reject)
{
    return REJECT(reject, REJECT_TRUNCATED, "WebP: it ends after %zu bytes", file.n);
}

/* The whole RIFF must be there, as the header says its length. */
static Status check_length(ImageBytes file, Reject *reject)
{
    return image_u32le(file.at + 4) > file.n - CHUNK_HEAD ? ends_early(file, reject) : OK;
}

static int32_t find_orientation(ImageBytes file)
{
    for (size_t at = RIFF_HEAD; at <= file.n && file.n - at >= CHUNK_HEAD;) {
        size_t length = image_u32le(file.at + at + 4);
        const uint8_t *body = file.at + at + CHUNK_HEAD;
        if (length > file.n - at - CHUNK_HEAD)
            break;
        if (!memcmp(file.at + at, "EXIF", 4)) {
            size_t lead = length >= 6 && !memcmp(body, "Exif\0", 6) ? 6 : 0; /* some writers keep JPEG's prefix */
            return image_exif_orientation((ImageBytes){body + lead, length - lead});
        }
        at += CHUNK_HEAD + length + (length & 1);
    }
    return 1;
}

Status image_webp_header(ImageHeader *h, ImageBytes file, Reject *reject)
{
    if (file.n < RIFF_HEAD + CHUNK_HEAD + LONGEST_HEAD)
        return ends_early(file, reject);
    const uint8_t *type = file.at + RIFF_HEAD, *body = type + CHUNK_HEAD;
    if (!memcmp(type, "VP8X", 4)) {
        h->width = (int32_t)image_u24le(body + 4) + 1;
        h->height = (int32_t)image_u24le(body + 7) + 1;
        h->orientation = find_orientation(file);
    } else if (!memcmp(type, "VP8L", 4) && body[0] == VP8L_MAGIC) {
        uint32_t bits = image_u32le(body + 1);
        h->width = (int32_t)(bits & 0x3fff) + 1;
        h->height = (int32_t)(bits >> 14 & 0x3fff) + 1;
    } else if (!memcmp(type, "VP8 ", 4) && !memcmp(body + 3, "\x9d\x01\x2a", 3)) {
        h->width = (int32_t)(image_u16le(body + 6) & 0x3fff);
        h->height = (int32_t)(image_u16le(body + 8) & 0x3fff);
    } else {
        return REJECT(reject, REJECT_CORRUPT, "WebP: it does not begin with a VP8, VP8L or VP8X chunk");
    }
    return check_length(file, reject);
}

Status image_webp_decode(uint8_t *rgb, const ImageHeader *h, ImageBytes file, Reject *reject)
{
    WebPData data = {file.at, file.n};
    WebPDemuxer *demuxer = WebPDemux(&data);
    WebPIterator frame;
    bool good = demuxer && WebPDemuxGetFrame(demuxer, 1, &frame);
    if (good) {
        size_t stride = (size_t)h->width * 3, size = stride * (size_t)h->height;
        size_t at = (size_t)frame.y_offset * stride + (size_t)frame.x_offset * 3;
        bool fits = stride <= INT_MAX && frame.x_offset >= 0 && frame.y_offset >= 0 && frame.width <= h->width - frame.x_offset &&
                    frame.height <= h->height - frame.y_offset;
        if (frame.width < h->width || frame.height < h->height)
            memset(rgb, 0, size);
        good = frame.complete && fits && WebPDecodeRGBInto(frame.fragment.bytes, frame.fragment.size, rgb + at, size - at, (int)stride);
        WebPDemuxReleaseIterator(&frame);
    }
    WebPDemuxDelete(demuxer);
    return good ? OK : REJECT(reject, REJECT_CORRUPT, "WebP: its picture is damaged");
}
