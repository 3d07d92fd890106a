/* made_shard.c: writes small shards for tests (made_shard.h). */
#include "tests/data/shards/made_shard.h"

#include <stdlib.h>
#include <string.h>

#include "data/loader/batch.h"
#include "data/formats/crc32c.h"
#include "data/text/encode.h"
#include "data/pictures/image.h"
#include "data/formats/sha256.h"
#include "kernels/base/arena.h"
#include "tests/harness.h"

enum { WIDTH = 24, HEIGHT = 16, MOST = 1 << 16, DRAWN = 4 /* more than any shard here holds */ };

typedef struct Pictures {
    uint8_t *bytes[64];
    size_t n[64];
} Pictures;

static Status give(void *context, int64_t i, uint8_t *buf)
{
    const Pictures *p = context;
    memcpy(buf, p->bytes[i], p->n[i]);
    return OK;
}

static void draw(Pictures *p, int i)
{
    uint8_t rgb[WIDTH * HEIGHT * 3];
    for (int k = 0; k < WIDTH * HEIGHT; k++) {
        rgb[3 * k] = (uint8_t)(40 * i);
        rgb[3 * k + 1] = (uint8_t)(255 - 30 * i);
        rgb[3 * k + 2] = 128;
    }
    REQUIRE_OK(image_encode_jpeg(rgb, WIDTH, HEIGHT, 95, &p->bytes[i], &p->n[i]));
}

void made_shard(const char *path, const MadeSample *samples, int n, int n_images, int64_t index, int64_t count, int64_t first_record)
{
    static uint8_t uid[MOST][16], task[MOST], flags[MOST], mask[MOST], role[MOST], fmt[64], orient[64], sha[64][32];
    static uint16_t source[MOST], wh[64][2];
    static float weight[MOST];
    static uint64_t tok_off[MOST + 1], img_off[MOST + 1], text_off[MOST + 1], image_off[65], dhash[64];
    static uint32_t n_train[MOST], exp_len[MOST], record[MOST], ref[MOST], ref_shard[MOST], ref_crc[MOST], crc[64];
    static int32_t id[MOST];
    static char text[1 << 16];
    Pictures p = {0};
    int64_t tokens = 0, refs = 0;
    memset(n_train, 0, sizeof n_train);
    for (int i = 0; i < DRAWN; i++) {
        draw(&p, i);
        image_off[i + 1] = image_off[i] + p.n[i];
        wh[i][0] = WIDTH;
        wh[i][1] = HEIGHT;
        fmt[i] = IMAGE_JPEG;
        orient[i] = 1;
        crc[i] = crc32c(p.bytes[i], p.n[i]);
        sha256_of(p.bytes[i], p.n[i], sha[i]);
    }
    for (int k = 0; k < n; k++) {
        const MadeSample *m = &samples[k];
        int images = 0, targets = 0;
        for (size_t t = 0; t < strlen(m->trained); t++, tokens++) {
            int32_t v = m->id[t];
            TokenKind kind = v == ID_IMAGE ? KIND_IMAGE : v >= MADE_VOCABULARY ? KIND_VISUAL : KIND_TEXT;
            id[tokens] = v;
            mask[tokens] = (uint8_t)((unsigned)kind << MASK_KIND_SHIFT | (m->trained[t] == 'x' ? MASK_TRAINED : 0u));
            n_train[k] += m->trained[t] == 'x';
            if (kind != KIND_IMAGE && v != MADE_VOCABULARY)
                continue;
            uint32_t shown = kind == KIND_IMAGE ? m->images[images++] : m->targets ? m->targets[targets++] : (targets++, 0u);
            ref[refs] = shown & 0xFFFF;
            ref_shard[refs] = shown >> 16 ? (shown >> 16) - 1 : (uint32_t)index;
            ref_crc[refs] = crc[ref[refs]];
            role[refs++] = kind == KIND_IMAGE ? ROLE_INPUT : ROLE_TARGET;
        }
        record[k] = (uint32_t)(first_record + k);
        sha256_of(&record[k], sizeof record[k], sha[63]);
        memcpy(uid[k], sha[63], 16);
        flags[k] = (uint8_t)((images ? FLAG_HAS_INPUT : 0) | (targets ? FLAG_HAS_TARGET : 0));
        task[k] = (uint8_t)m->task;
        source[k] = (uint16_t)m->source;
        weight[k] = m->weight;
        tok_off[k + 1] = (uint64_t)tokens;
        img_off[k + 1] = (uint64_t)refs;
        exp_len[k] = (uint32_t)(strlen(m->trained) + (size_t)images * (MADE_PATCHES - 1));
        size_t length = m->text ? strlen(m->text) : 0;
        memcpy(text + text_off[k], m->text ? m->text : "", length);
        text_off[k + 1] = text_off[k] + length;
    }
    char inputs[] = "[]", added[] = MADE_ADDED, licenses[] = "[\"cc0\"]";
    Shard s = {.attr = {.shard_index = index, .shard_count = count, .n_samples = n, .n_images = n_images, .n_tokens = tokens,
                        .n_refs = refs,
                        .config_sha256 = "c0", .tok_sha256 = "t0", .template_name = "v1", .aspect = "pad", .n_visual_tokens = MADE_VISUAL,
                        .model_max_length = 2048, .vocab_size = MADE_VOCABULARY, .patches = MADE_PATCHES, .inputs = inputs,
                        .tok_added = added, .licenses = licenses, .created_unix = 1},
               .uid = uid, .task = task, .flags = flags, .source = source, .weight = weight, .tok_off = tok_off, .img_off = img_off,
               .n_train = n_train, .exp_len = exp_len, .record = record, .id = id, .mask = mask, .ref_shard = ref_shard, .ref_image = ref,
               .ref_crc32c = ref_crc, .ref_role = role,
               .image_off = image_off, .image_wh = wh, .image_fmt = fmt, .image_orient = orient, .image_crc32c = crc, .image_sha256 = sha,
               .image_dhash = dhash, .text_off = text_off};
    REQUIRE_OK(shard_write(path, &s, text, give, &p));
    for (int i = 0; i < DRAWN; i++)
        mem_free(p.bytes[i]);
}
