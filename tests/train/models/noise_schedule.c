/* noise_schedule.h: the published table of Stable Diffusion (model.md 5.4), a linear one, and what is refused. */
#include "train/models/noise_schedule.h"

#include <math.h>
#include <stdio.h>

#include "tests/harness.h"
#include "tests/train/models/tiny.h"

static Status load(NoiseSchedule *s, const char *text)
{
    tiny_write(test_dir(), "scheduler_config.json", text);
    return noise_schedule_load(s, test_dir());
}

TEST(the_schedule_of_stable_diffusion_has_the_published_values)
{
    static const struct {
        int at;
        double product, signal, noise;
    } WANTED[] = {{0, 0.99915, 0.9995749, 0.0291548},       {1, 0.9982960, 0.9991477, 0.0412792},   {100, 0.8942235, 0.9456339, 0.3252330},
                  {500, 0.2763327, 0.5256736, 0.8506864},   {961, 0.0072817, 0.0853330, 0.9963525}, {981, 0.0057755, 0.0759967, 0.9971081},
                  {999, 0.0046601, 0.0682649, 0.9976672}};
    NoiseSchedule s;
    REQUIRE_OK(load(&s, "{\"_class_name\":\"PNDMScheduler\",\"_diffusers_version\":\"0.7.0.dev0\",\"beta_end\":0.012,\"beta_schedule\":"
                        "\"scaled_linear\",\"beta_start\":0.00085,\"num_train_timesteps\":1000,\"set_alpha_to_one\":false,"
                        "\"skip_prk_steps\":true,\"steps_offset\":1,\"trained_betas\":null,\"clip_sample\":false}"));
    CHECK_INT(s.n, 1000);
    for (size_t i = 0; i < sizeof WANTED / sizeof *WANTED; i++) {
        double signal = s.signal[WANTED[i].at], noise = s.noise[WANTED[i].at];
        CHECK(fabs(signal * signal - WANTED[i].product) < 5e-8 && fabs(signal - WANTED[i].signal) < 5e-8);
        CHECK(fabs(noise - WANTED[i].noise) < 5e-8);
    }
    noise_schedule_free(&s);
}

TEST(a_linear_schedule)
{
    NoiseSchedule s;
    REQUIRE_OK(load(&s, "{\"beta_start\":0.1,\"beta_end\":0.3,\"num_train_timesteps\":3}"));
    CHECK(fabs(s.signal[0] - sqrt(0.9)) < 1e-15 && fabs(s.signal[1] - sqrt(0.9 * 0.8)) < 1e-15);
    CHECK(fabs(s.signal[2] - sqrt(0.9 * 0.8 * 0.7)) < 1e-15 && fabs(s.noise[2] - sqrt(1 - 0.9 * 0.8 * 0.7)) < 1e-15);
    noise_schedule_free(&s);
}

static void check_refused(const char *member, const char *message)
{
    char text[256], wanted[1024];
    NoiseSchedule s;
    snprintf(text, sizeof text, "{%s}", member);
    snprintf(wanted, sizeof wanted, "%s/scheduler_config.json:1:%s", test_dir(), message);
    CHECK_FAILS(load(&s, text), ERR_DATA, wanted);
    noise_schedule_free(&s);
}

TEST(what_a_schedule_does_not_do_is_refused_by_name)
{
    check_refused("\"prediction_type\":\"v_prediction\"", "20: prediction_type is \"v_prediction\", expected \"epsilon\"");
    check_refused("\"rescale_betas_zero_snr\":true", "27: rescale_betas_zero_snr is true, which is not supported");
    check_refused("\"trained_betas\":[0.1]", "18: trained_betas is an array, which is not supported");
    check_refused("\"beta_schedule\":\"sigmoid\"", "18: beta_schedule is \"sigmoid\", expected \"scaled_linear\" or \"linear\"");
    check_refused("\"beta_end\":1", "13: beta_end is 1, expected a number between 0 and 1");
    check_refused("\"strength\":1", "13: strength is 1; this key is not known, so it passes only as null, false, 0, {} or []");
}
