/* vae: moments and pictures equal to diffusers' from old files and new ones; memory that does not grow with depth; settings of other
 * autoencoders refused; the sizes of the published one. */
#include "train/models/vae.h"

#include <stdio.h>

#include "data/formats/file.h"
#include "tests/train/models/hashed.h"
#include "tests/train/models/tiny.h"

static const char *fixture(const char *name, const char *file)
{
    char path[128];
    snprintf(path, sizeof path, "vae/%s/%s", name, file);
    return test_fixture(path);
}

/* ---------------------------------------------------------------- numbers */

/* Names of files of 2022, whose attention may lie there as convolutions. */
static const char *old_name(const char *ours, char theirs[256], bool *conv)
{
    static const char *const NAMES[][2] = {
        {".to_q.", ".query."}, {".to_k.", ".key."}, {".to_v.", ".value."}, {".to_out.0.", ".proj_attn."}};
    for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++) {
        const char *at = strstr(ours, NAMES[i][0]);
        if (!at)
            continue;
        *conv = strstr(at, "weight") && strstr(ours, "encoder");
        snprintf(theirs, 256, "%.*s%s%s", (int)(at - ours), ours, NAMES[i][1], at + strlen(NAMES[i][0]));
        return theirs;
    }
    return ours;
}

static const char *decoder_lost(const char *ours, char theirs[256], bool *conv)
{
    (void)theirs, (void)conv;
    return strncmp(ours, "decoder.conv_out.", strlen("decoder.conv_out.")) ? ours : NULL;
}

typedef struct Numbers {
    const char *fixture;
    Status (*open)(Backend *);
    DType compute;
    HashedName rename;
    double most;
} Numbers;

static void declare_both(HashedModel *m, const char *config)
{
    REQUIRE_OK(hashed_configure(m, "vae", config));
    REQUIRE_OK(vae_declare(&m->g, hashed_run()));
    m->g.params.group = (ParamGroup){.part = "vae_decoder"};
    REQUIRE_OK(vae_declare_decoder(&m->g, hashed_run()));
    REQUIRE_OK(params_create(&m->g.params));
}

/* Each half from the file that has both. */
static void load(HashedModel *m, const char *name, HashedName rename, Status wanted)
{
    static const char *const HALVES[] = {"vae", "vae_decoder"};
    char *config;
    size_t n;
    REQUIRE_OK(file_read(&config, &n, fixture(name, "config.json"), 1 << 16));
    declare_both(m, config);
    mem_free(config);
    hashed_save(hashed_path("vae/diffusion_pytorch_model.safetensors"), &m->g.params, NULL, "vae.", rename);
    for (int i = 0; i < 2; i++) {
        const Part *part = part_find(HALVES[i]);
        Weights *w = &m->g.files[i];
        REQUIRE_OK(weights_open_folder(w, hashed_path("vae"), part_stem(part)));
        CHECK_INT(weights_load_part(w, &m->g.params, part->name, part->names), i ? wanted : OK);
    }
}

static void check_numbers(const Numbers *c)
{
    HashedModel m;
    SafeTensors *expected;
    hashed_open(&m, c->open, c->compute);
    load(&m, c->fixture, c->rename, OK);
    REQUIRE_OK(safetensors_open(&expected, fixture(c->fixture, "expected.safetensors")));
    const int32_t *size = hashed_expected(expected, "size", 3);
    Plane pictures = {size[0], size[1], size[2]}, latents = vae_latents(&m.g.vae, pictures), decoded;
    uint8_t *pixels = mem_alloc((size_t)plane_rows(&pictures) * 3);
    REQUIRE(pixels);
    for (int64_t i = 0; i < plane_rows(&pictures) * 3; i++)
        pixels[i] = (uint8_t)hashed("pixels", (uint64_t)i);
    Tensor *moments = vae_moments(m.tape, &m.g.vae, pixels, pictures);
    REQUIRE_OK(tape_status(m.tape));
    CHECK(!moments->needs_grad && moments->shape[0] == plane_rows(&latents));
    hashed_check(expected, "moments", moments, c->most);
    int64_t channels = m.g.vae.config.latent, n = plane_rows(&latents) * channels;
    float *values = tape_host(m.tape, (size_t)n * sizeof *values);
    for (int64_t i = 0; i < n; i++)
        values[i] = 2 * hashed_uniform("latents", (uint64_t)i);
    Tensor *x = vae_decode(m.tape, &m.g.vae, nn_input(m.tape, values, plane_rows(&latents), channels), latents, &decoded);
    REQUIRE_OK(tape_status(m.tape));
    CHECK(decoded.images == pictures.images && x->shape[0] == plane_rows(&decoded));
    hashed_check(expected, "pictures", x, c->most);
    mem_free(pixels);
    safetensors_close(&expected);
    hashed_close(&m);
}

TEST(vae_equals_diffusers)
{
    static const Numbers CASES[] = {
        {"small", ref_open, F64, NULL, 1e-6}, {"small", ref_open, F64, old_name, 1e-6}, {"small", cpu_open, F32, NULL, 1e-5},
        {"odd", ref_open, F64, NULL, 1e-6},   {"odd", cpu_open, F32, old_name, 1e-5},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++)
        check_numbers(&CASES[i]);
}

/* Values of VaeImageProcessor.preprocess; rounded once, those of 64 and 65 would be 2^-25 less. */
TEST(vae_pixel_equals_diffusers)
{
    CHECK(vae_pixel(0) == -1 && vae_pixel(255) == 1);
    CHECK(vae_pixel(64) == -0x1.fdfdfcp-2f && vae_pixel(65) == -0x1.f5f5f4p-2f);
}

TEST(vae_sample_clamps_the_variance)
{
    CHECK(vae_sample(2, 0, 3) == 5);
    CHECK(vae_sample(2, -1e9f, 1e6f) == 2 + expf(-15) * 1e6f);
    CHECK(vae_sample(0, 1e9f, 1) == expf(10));
}

/* ---------------------------------------------------------------- what is wrong */

TEST(vae_names_a_missing_tensor)
{
    HashedModel m;
    char wanted[2 * PATH_MAX];
    hashed_open(&m, ref_open, F32);
    load(&m, "small", decoder_lost, ERR_DATA);
    snprintf(wanted, sizeof wanted, "%s: no tensor decoder.conv_out.weight in it; the model has one of shape [3, 8, 3, 3]",
             hashed_path("vae/diffusion_pytorch_model.safetensors"));
    CHECK_STR(status_message(), wanted);
    hashed_close(&m);
}

/* Half a file is enough for who needs that half. */
static const char *no_decoder(const char *ours, char theirs[256], bool *conv)
{
    (void)theirs, (void)conv;
    return strstr(ours, "decoder.") || strstr(ours, "post_quant_conv.") ? NULL : ours;
}

TEST(vae_encoder_is_read_from_a_file_without_a_decoder)
{
    HashedModel m;
    hashed_open(&m, ref_open, F32);
    load(&m, "small", no_decoder, ERR_DATA); /* of the decoder alone */
    hashed_close(&m);
}

#define DOWN "\"down_block_types\": [\"DownEncoderBlock2D\"], \"up_block_types\": [\"UpDecoderBlock2D\"], "
TEST(vae_refuses_settings)
{
    static const struct {
        const char *config, *says;
    } CASES[] = {
        {"{\"_class_name\": \"AutoencoderTiny\"}", ":1:17: _class_name is \"AutoencoderTiny\", expected \"AutoencoderKL\""},
        {"{\"use_quant_conv\": false}", ":1:20: use_quant_conv is false, which is not supported"},
        {"{\"shift_factor\": 0.1}", ":1:18: shift_factor is 0.1, which is not supported"},
        {"{\"in_channels\": 4}", ":1:17: in_channels is 4, expected 3"},
        {"{\"act_fn\": \"relu\"}", ":1:12: act_fn is \"relu\", expected \"silu\" or \"swish\""},
        {"{" DOWN "\"block_out_channels\": [40]}",
         ":1:108: block_out_channels is no list of 1 to 8 multiples of norm_num_groups 32"},
        {"{" DOWN "\"block_out_channels\": [1024]}",
         ":1:108: block_out_channels ends with 1024, of the attention at most 512 are supported"},
        {"{" DOWN "\"block_out_channels\": [32, 64]}",
         ":1:22: down_block_types is not 2 times \"DownEncoderBlock2D\", which alone is supported"},
        {"{\"scaling_factor\": 0}", ":1:20: scaling_factor is 0, expected a number above 0"},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        HashedModel m;
        char wanted[2 * PATH_MAX];
        hashed_open(&m, ref_open, F32);
        snprintf(wanted, sizeof wanted, "%s%s", hashed_path("vae/config.json"), CASES[i].says);
        CHECK_FAILS(hashed_configure(&m, "vae", CASES[i].config), ERR_DATA, wanted);
        hashed_close(&m);
    }
}

/* ---------------------------------------------------------------- the published autoencoder */

/* vae/config.json of Stable Diffusion 1.4. */
static const char PUBLISHED[] =
    "{\"_class_name\": \"AutoencoderKL\", \"_diffusers_version\": \"0.2.2\", \"act_fn\": \"silu\","
    "\"block_out_channels\": [128, 256, 512, 512], \"in_channels\": 3,"
    "\"down_block_types\": [\"DownEncoderBlock2D\", \"DownEncoderBlock2D\", \"DownEncoderBlock2D\", \"DownEncoderBlock2D\"],"
    "\"latent_channels\": 4, \"layers_per_block\": 2, \"norm_num_groups\": 32, \"out_channels\": 3, \"sample_size\": 512,"
    "\"up_block_types\": [\"UpDecoderBlock2D\", \"UpDecoderBlock2D\", \"UpDecoderBlock2D\", \"UpDecoderBlock2D\"]}";

TEST(vae_has_the_published_size)
{
    HashedModel m;
    int64_t encoder, decoder, n;
    hashed_open(&m, null_open, BF16);
    hashed_declare(&m, "vae", PUBLISHED);
    CHECK_INT(m.g.params.n, 108);
    REQUIRE_OK(part_count(part_find("vae"), &m.g, &encoder));
    CHECK_INT(encoder, 34163664);
    /* which is counted also where it is not opened */
    REQUIRE_OK(part_count(part_find("vae_decoder"), &m.g, &decoder));
    CHECK_INT(encoder + decoder, 83653863);
    CHECK(m.g.vae.config.scaling == 0.18215);
    hashed_close(&m);
    hashed_open(&m, null_open, BF16);
    declare_both(&m, PUBLISHED);
    CHECK_INT(m.g.params.n, 248);
    CHECK_INT(genllava_count(&m.g, "vae"), encoder);
    REQUIRE_OK(part_count(part_find("vae_decoder"), &m.g, &n));
    CHECK(n == decoder && n == genllava_count(&m.g, "vae_decoder"));
    hashed_close(&m);
}

TEST(a_decoder_alone_is_not_counted_twice)
{
    HashedModel m;
    int64_t encoder, decoder;
    hashed_open(&m, null_open, BF16);
    hashed_declare(&m, "vae_decoder", PUBLISHED);
    REQUIRE_OK(part_count(part_find("vae"), &m.g, &encoder));
    REQUIRE_OK(part_count(part_find("vae_decoder"), &m.g, &decoder));
    CHECK_INT(encoder, 0);
    CHECK_INT(decoder, 83653863 - 34163664);
    hashed_close(&m);
}

static double peak(const HashedModel *m) { return (double)(m->keep.peak + m->scratch.peak); }

/* One picture of 512x512, in units of the first level's activations [512·512,128]: while a resnet runs, its input, both norms, the first
 * convolution and the result; in the decoder the input has twice the channels. */
TEST(vae_takes_memory_for_a_few_activations)
{
    HashedModel m;
    Plane picture = {1, 512, 512}, decoded;
    hashed_open(&m, null_open, F32);
    arena_free(&m.keep);
    arena_free(&m.scratch);
    arena_measure(&m.keep);
    arena_measure(&m.scratch);
    declare_both(&m, PUBLISHED);
    const double largest = (double)plane_rows(&picture) * 128 * sizeof(float);
    Tensor *moments = vae_moments(m.tape, &m.g.vae, NULL, picture);
    REQUIRE_OK(tape_status(m.tape));
    CHECK(moments->shape[0] == 64 * 64 && moments->shape[1] == 8);
    CHECK_MSG(peak(&m) < 5.6 * largest, "encoding takes %.2f activations", peak(&m) / largest);
    tape_reset(m.tape, 1);
    m.keep.peak = m.scratch.peak = 0;
    vae_decode(m.tape, &m.g.vae, nn_input(m.tape, NULL, 64 * 64, 4), vae_latents(&m.g.vae, picture), &decoded);
    REQUIRE_OK(tape_status(m.tape));
    CHECK(decoded.height == 512 && decoded.width == 512);
    CHECK_MSG(peak(&m) < 10.9 * largest, "decoding takes %.2f activations", peak(&m) / largest);
    hashed_close(&m);
}
