/* eval/features against transformers and pytorch-fid (tests/oracle/features.py wrote the numbers): pictures and texts, batches of any size,
 * what cannot be opened. */
#include "eval/features/picture_net.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "data/formats/file.h"
#include "data/formats/safetensors.h"
#include "eval/features/feature_file.h"
#include "kernels/base/arena.h"
#include "tests/eval/features/inception_weights.h"
#include "tests/harness.h"
#include "tests/train/models/hashed.h"

enum { N_PICTURES = 6, N_TEXTS = 3, WIDTH_MOST = 256 };
static const char *const PICTURES[N_PICTURES] = {"metrics/pixels/resized.a.png", "metrics/pixels/enlarged.a.png",
                                                 "metrics/pixels/grey.a.png",
                                                 "metrics/pixels/alpha.a.png", "metrics/pixels/far.b.png", "images/rgb.jpg"};
static const char *const TEXTS[N_TEXTS] = {
    "a red circle", "", "two circles on a blue ground, and one more circle that goes beyond the sixteen tokens of a prompt"};
static const PictureNetOptions ON_CPU = {.device = DEVICE_CPU};

/* ---------------------------------------------------------------- folders */

static void copy(const char *folder, const char *file, const char *to)
{
    char from[PATH_MAX], name[256];
    snprintf(name, sizeof name, "%s/%s", folder, file);
    REQUIRE_OK(file_copy(test_fixture(name), file_join(from, to, file)));
}

/* A fixture's network in a folder of its own. */
static const char *put(char folder[PATH_MAX], const char *kind)
{
    char fixture[64];
    file_join(folder, test_dir(), kind);
    REQUIRE_OK(file_make_folders(folder));
    snprintf(fixture, sizeof fixture, "features/%s", kind);
    copy(fixture, "config.json", folder);
    copy(fixture, "model.safetensors", folder);
    if (!strcmp(kind, "clip")) {
        copy(fixture, "preprocessor_config.json", folder);
        copy("clip_tokenizer/padded_with_end", "vocab.json", folder);
        copy("clip_tokenizer/padded_with_end", "merges.txt", folder);
        copy("clip_tokenizer/padded_with_end", "tokenizer_config.json", folder);
        copy("clip_tokenizer/padded_with_end", "special_tokens_map.json", folder);
    }
    return folder;
}

static void write_config(const char *folder, const char *text)
{
    char path[PATH_MAX];
    REQUIRE_OK(file_write(file_join(path, folder, "config.json"), text, strlen(text)));
}

static void list_pictures(const char *paths[N_PICTURES])
{
    static char full[N_PICTURES][PATH_MAX];
    for (int i = 0; i < N_PICTURES; i++) {
        snprintf(full[i], PATH_MAX, "%s", test_fixture(PICTURES[i]));
        paths[i] = full[i];
    }
}

static PictureNet *open_net(const char *kind)
{
    char folder[PATH_MAX];
    PictureNet *net;
    REQUIRE_OK(picture_net_open(&net, put(folder, kind), &ON_CPU));
    return net;
}

/* ---------------------------------------------------------------- numbers */

/* Each row within 1e-5 of its largest number. */
static void check_rows(const char *kind, const char *tensor, const float *found, int64_t n, int64_t width)
{
    char name[64];
    SafeTensors *st;
    snprintf(name, sizeof name, "features/%s/expected.safetensors", kind);
    REQUIRE_OK(safetensors_open(&st, test_fixture(name)));
    const StTensor *t = safetensors_find(st, tensor);
    REQUIRE(t && t->type == F32 && t->n_dims == 2 && t->shape[0] == n && t->shape[1] == width);
    for (int64_t i = 0; i < n; i++) {
        double worst = 0, largest = 0;
        for (int64_t j = 0; j < width; j++) {
            float wanted;
            memcpy(&wanted, (const char *)t->data + (size_t)(i * width + j) * sizeof wanted, sizeof wanted);
            const double off = fabs((double)found[i * width + j] - (double)wanted);
            worst = off > worst || off != off ? off : worst;
            largest = fmax(largest, fabs((double)wanted));
        }
        CHECK_MSG(worst <= 1e-5 * largest, "%s: %s %d is off by %.3g, its largest is %.3g", kind, tensor, (int)i, worst, largest);
    }
    safetensors_close(&st);
}

static void check_pictures(PictureNet *net, const char *kind, int64_t width)
{
    const char *paths[N_PICTURES];
    float found[N_PICTURES * WIDTH_MOST];
    CHECK_INT(picture_net_info(net)->width, width);
    CHECK_STR(picture_net_info(net)->kind, kind);
    list_pictures(paths);
    REQUIRE_OK(picture_net_pictures(net, NULL, paths, N_PICTURES, found));
    check_rows(kind, "pictures", found, N_PICTURES, width);
    picture_net_close(&net);
}

TEST(features_of_pictures_are_those_of_clip) { check_pictures(open_net("clip"), "clip", 10); }
TEST(features_of_pictures_are_those_of_a_vit) { check_pictures(open_net("vit"), "vit", 16); }

TEST(features_of_pictures_are_those_of_fids_inception)
{
    char path[PATH_MAX], folder[PATH_MAX], inside[PATH_MAX];
    PictureNet *net;
    REQUIRE_OK(picture_net_open(&net, inception_weights(path, NULL), &ON_CPU));
    check_pictures(net, "inception", 128);
    /* The same in a folder. */
    REQUIRE_OK(file_make_folders(file_join(folder, test_dir(), "inception")));
    write_config(folder, "{\"model_type\": \"inception\"}");
    REQUIRE_OK(file_rename(path, file_join(inside, folder, "model.safetensors")));
    REQUIRE_OK(picture_net_open(&net, folder, &ON_CPU));
    check_pictures(net, "inception", 128);
}

TEST(features_of_a_crop_of_openais_are_those_of_clip)
{
    const PictureNetOptions options = {.device = DEVICE_CPU, .crops_as_openai = true};
    char folder[PATH_MAX], uneven[PATH_MAX];
    const char *const path = uneven;
    float found[2][WIDTH_MOST];
    PictureNet *net;
    snprintf(uneven, sizeof uneven, "%s", test_fixture("features/lpips/c.jpg"));
    REQUIRE_OK(picture_net_open(&net, put(folder, "clip"), &options));
    REQUIRE_OK(picture_net_pictures(net, NULL, &path, 1, found[0]));
    check_rows("clip", "openai", found[0], 1, 10);
    picture_net_close(&net);
    net = open_net("clip");
    REQUIRE_OK(picture_net_pictures(net, NULL, &path, 1, found[1]));
    CHECK(memcmp(found[0], found[1], 10 * sizeof **found));
    picture_net_close(&net);
}

TEST(features_of_texts_are_those_of_clip)
{
    float found[N_TEXTS * WIDTH_MOST];
    int64_t truncated = 0;
    PictureNet *net = open_net("clip");
    REQUIRE_OK(picture_net_texts(net, TEXTS, N_TEXTS, found, &truncated));
    check_rows("clip", "texts", found, N_TEXTS, 10);
    CHECK_INT(truncated, 1);
    picture_net_close(&net);
}

/* Files of before transformers 4.31 say 2: then a text's feature stands at its highest id, the end token's. */
TEST(features_of_texts_whose_file_says_an_end_token_of_two)
{
    char folder[PATH_MAX], path[PATH_MAX], *text;
    float found[N_TEXTS * WIDTH_MOST];
    int64_t truncated = 0;
    size_t n;
    PictureNet *net;
    file_join(path, put(folder, "clip"), "config.json");
    REQUIRE_OK(file_read(&text, &n, path, 1 << 16));
    char *at = strstr(text, "\"eos_token_id\": 598");
    REQUIRE(at);
    memcpy(at, "\"eos_token_id\": 2  ", strlen("\"eos_token_id\": 598"));
    write_config(folder, text);
    mem_free(text);
    REQUIRE_OK(picture_net_open(&net, folder, &ON_CPU));
    REQUIRE_OK(picture_net_texts(net, TEXTS, N_TEXTS, found, &truncated));
    check_rows("clip", "texts", found, N_TEXTS, 10);
    picture_net_close(&net);
}

static void check_alike(const float *a, const float *b, int width)
{
    double worst = 0, largest = 0;
    for (int i = 0; i < width; i++) {
        worst = fmax(worst, fabs((double)a[i] - (double)b[i]));
        largest = fmax(largest, fabs((double)a[i]));
    }
    CHECK_MSG(worst <= 2e-6 * largest, "off by %.3g, the largest is %.3g", worst, largest);
}

/* More than are computed at a time, in another order: a feature is that of its picture. */
TEST(features_are_the_same_beside_any_others)
{
    enum { MANY = 19, WIDTH = 10 };
    const char *paths[N_PICTURES], *many[MANY], *texts[MANY];
    float one[N_PICTURES * WIDTH], all[MANY * WIDTH], again[MANY * WIDTH], text[N_TEXTS * WIDTH];
    int64_t truncated = 0;
    PictureNet *net = open_net("clip");
    list_pictures(paths);
    for (int i = 0; i < N_PICTURES; i++)
        REQUIRE_OK(picture_net_pictures(net, NULL, paths + i, 1, one + i * WIDTH));
    for (int i = 0; i < N_TEXTS; i++)
        REQUIRE_OK(picture_net_texts(net, TEXTS + i, 1, text + i * WIDTH, &truncated));
    for (int i = 0; i < MANY; i++) {
        many[i] = paths[i * 5 % N_PICTURES];
        texts[i] = TEXTS[i * 2 % N_TEXTS];
    }
    REQUIRE_OK(picture_net_pictures(net, NULL, many, MANY, all));
    for (int i = 0; i < MANY; i++)
        check_alike(all + i * WIDTH, one + i * 5 % N_PICTURES * (int64_t)WIDTH, WIDTH);
    REQUIRE_OK(picture_net_pictures(net, NULL, many, MANY, again));
    CHECK(!memcmp(all, again, sizeof all));
    REQUIRE_OK(picture_net_texts(net, texts, MANY, all, &truncated));
    for (int i = 0; i < MANY; i++)
        check_alike(all + i * WIDTH, text + i * 2 % N_TEXTS * (int64_t)WIDTH, WIDTH);
    picture_net_close(&net);
}

/* ---------------------------------------------------------------- what cannot be opened */

/* The message of opening, with the folder's own path left out; the kind of failure. */
static Status open_folder(const char *folder, char message[512])
{
    PictureNet *net;
    const size_t n = strlen(folder);
    Status s = picture_net_open(&net, folder, &ON_CPU);
    const char *text = s ? status_message() : "";
    snprintf(message, 512, "%s", strncmp(text, folder, n) ? text : text + n);
    if (s)
        CHECK(!net);
    else
        picture_net_close(&net);
    return s;
}

TEST(features_name_what_a_folder_lacks_or_says_wrong)
{
    static const struct {
        const char *kind, *config; /* NULL: the fixture's own */
        const char *missing;       /* a file that is removed, or NULL */
        Status status;
        const char *message;
    } CASES[] = {
        {"vit", "{}", NULL, ERR_DATA, "/config.json: model_type is \"\", expected \"clip\", \"vit\" or \"inception\""},
        {"vit", "{\"model_type\": \"bert\"}", NULL, ERR_DATA,
         "/config.json:1:16: model_type is \"bert\", expected \"clip\", \"vit\" or \"inception\""},
        {"vit", "{\"model_type\": \"vit\", \"qkv_bias\": false}", NULL, ERR_DATA,
         "/config.json:1:35: qkv_bias is false, expected true"},
        {"vit", "{\"model_type\": \"vit\", \"num_register_tokens\": 4}", NULL, ERR_DATA,
         "/config.json:1:46: num_register_tokens is 4; this key is not known, so it passes only as null, false, 0, {} or []"},
        {"vit", "{\"model_type\": \"vit\", \"image_size\": 28, \"patch_size\": 32}", NULL, ERR_DATA,
         "/config.json:1:55: patch_size is 32, more than image_size 28"},
        {"vit", "{\"model_type\": \"vit\", \"hidden_size\": 16, \"num_hidden_layers\": 2, \"num_attention_heads\": 2, "
                "\"intermediate_size\": 24, \"image_size\": 35, \"patch_size\": 7}", NULL, ERR_DATA,
         "/model.safetensors: embeddings.position_embeddings: shape is [1, 17, 16] in the file, [1, 26, 16] in the model"},
        {"vit", "{\"model_type\": \"vit\", \"hidden_size\": 16, \"num_hidden_layers\": 3, \"num_attention_heads\": 2, "
                "\"intermediate_size\": 24, \"image_size\": 28, \"patch_size\": 7}", NULL, ERR_DATA,
         "/model.safetensors: no tensor encoder.layer.2.layernorm_before.weight in it; the model has one of shape [16]"},
        {"vit", "{\"model_type\": \"vit\", \"hidden_size\": 16, \"num_hidden_layers\": 1, \"num_attention_heads\": 2, "
                "\"intermediate_size\": 24, \"image_size\": 28, \"patch_size\": 7}", NULL, ERR_DATA,
         "/model.safetensors: 16 tensors are no part of this model, and nothing would read them"},
        {"vit", NULL, "config.json", ERR_MISSING, "/config.json: cannot be opened: No such file or directory"},
        {"clip", "{\"model_type\": \"clip\", \"vision_config\": {}}", NULL, ERR_DATA,
         "/config.json: text_config is missing: expected the folder of a whole CLIPModel, with its text encoder"},
        {"clip", "{\"model_type\": \"clip\", \"text_config\": {}}", NULL, ERR_DATA,
         "/config.json: vision_config is missing: expected the folder of a whole CLIPModel, with its vision tower"},
        {"clip", NULL, "vocab.json", ERR_MISSING, ""},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        char folder[PATH_MAX], path[PATH_MAX], message[512];
        put(folder, CASES[i].kind);
        if (CASES[i].config)
            write_config(folder, CASES[i].config);
        if (CASES[i].missing)
            REQUIRE_OK(file_remove(file_join(path, folder, CASES[i].missing)));
        CHECK_INT(open_folder(folder, message), CASES[i].status);
        CHECK_MSG(!strncmp(message, CASES[i].message, strlen(CASES[i].message)), "case %d: %s", (int)i, message);
        REQUIRE_OK(file_remove(folder));
    }
}

TEST(features_refuse_half_of_every_file)
{
    static const char *const FILES[][2] = {{"vit", "config.json"}, {"vit", "model.safetensors"}, {"clip", "config.json"},
                                           {"clip", "model.safetensors"}, {"clip", "preprocessor_config.json"}, {"clip", "vocab.json"}};
    for (size_t i = 0; i < sizeof FILES / sizeof *FILES; i++) {
        char folder[PATH_MAX], path[PATH_MAX], message[512], *bytes;
        size_t n;
        file_join(path, put(folder, FILES[i][0]), FILES[i][1]);
        REQUIRE_OK(file_read(&bytes, &n, path, 1 << 20));
        REQUIRE_OK(file_write(path, bytes, n / 2));
        mem_free(bytes);
        CHECK_INT(open_folder(folder, message), ERR_DATA);
        CHECK_MSG(strstr(message, FILES[i][1]), "%s", message);
        REQUIRE_OK(file_remove(folder));
    }
}

TEST(features_name_what_a_file_of_inception_lacks)
{
    char path[PATH_MAX], message[512], *bytes;
    size_t n;
    inception_weights(path, "Mixed_6c.branch7x7_2.conv.weight");
    CHECK_INT(open_folder(path, message), ERR_DATA);
    CHECK_STR(message,
              ": no tensor Mixed_6c.branch7x7_2.conv.weight in it, expected the Inception-v3 of FID as pytorch-fid names its weights");
    inception_weights(path, "Mixed_7c.branch_pool.bn.running_var");
    CHECK_INT(open_folder(path, message), ERR_DATA);
    CHECK_STR(message, ": no tensor Mixed_7c.branch_pool.bn.running_var in it; the model has one of shape [12]");
    REQUIRE_OK(file_read(&bytes, &n, inception_weights(path, NULL), 1 << 20));
    REQUIRE_OK(file_write(path, bytes, n / 2));
    mem_free(bytes);
    CHECK_INT(open_folder(path, message), ERR_DATA);
    CHECK_INT(open_folder(test_fixture("features/clip/model.safetensors"), message), ERR_DATA);
    CHECK_MSG(strstr(message, "no tensor Conv2d_1a_3x3.conv.weight in it"), "%s", message);
    CHECK_INT(open_folder(test_fixture("images/rgb.png"), message), ERR_DATA);
}

TEST(features_name_the_picture_that_cannot_be_read)
{
    char broken[PATH_MAX], expected[PATH_MAX + 64];
    const char *paths[N_PICTURES];
    float found[N_PICTURES * WIDTH_MOST];
    int64_t truncated = 0;
    PictureNet *net = open_net("vit");
    list_pictures(paths);
    REQUIRE_OK(file_write(file_join(broken, test_dir(), "broken.png"), "\x89PNG", 4));
    paths[3] = broken;
    paths[4] = "/nowhere.png";
    CHECK_INT(picture_net_pictures(net, NULL, paths, N_PICTURES, found), ERR_DATA);
    snprintf(expected, sizeof expected, "picture %s: ", broken);
    CHECK_MSG(!strncmp(status_message(), expected, strlen(expected)), "%s", status_message());
    CHECK_INT(picture_net_pictures(net, NULL, paths + 4, 2, found), ERR_MISSING);
    CHECK_MSG(strstr(status_message(), "/nowhere.png"), "%s", status_message());
    CHECK_INT(picture_net_texts(net, TEXTS, 1, found, &truncated), ERR_USAGE);
    picture_net_close(&net);
}

TEST(features_that_are_not_whole_go_when_a_signal_ends_the_process)
{
    static const char *const ARRAYS[] = {"/feat", NULL};
    static const char *const NAMES[] = {"a"};
    const FeatureRows rows = {.names_as = "/name", .names = NAMES, .n = 1};
    char path[PATH_MAX];
    const float features[WIDTH_MOST] = {0};
    FeatureMaker maker;
    FeatureFile f;
    PictureNet *net = open_net("clip");
    REQUIRE_OK(feature_maker(&maker, net));
    REQUIRE_OK(feature_file_create(&f, file_join(path, test_dir(), "f.h5"), &maker, &rows, ARRAYS));
    CHECK(file_exists(f.hidden));
    feature_file_abandon();
    CHECK(!file_exists(f.hidden));
    REQUIRE_OK(feature_file_write(&f, 0, 0, 1, features));
    CHECK_INT(feature_file_close(&f, ERR_PREEMPTED), ERR_PREEMPTED);
    CHECK(!file_exists(path));
    /* One that is whole stays. */
    REQUIRE_OK(feature_file_create(&f, path, &maker, &rows, ARRAYS));
    REQUIRE_OK(feature_file_write(&f, 0, 0, 1, features));
    REQUIRE_OK(feature_file_close(&f, OK));
    feature_file_abandon();
    CHECK(file_exists(path));
    picture_net_close(&net);
}
