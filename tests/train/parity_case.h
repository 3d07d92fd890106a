/* parity_case.h: runs `train --dump` on the cases that tests/oracle made with PyTorch, transformers and peft, and compares every file that
 * the case expects: losses, learning rate, norm, logits, gradients, and the CHANGE of the parameters since the start. */
#ifndef GENLLAVA_TESTS_TRAIN_PARITY_CASE_H
#define GENLLAVA_TESTS_TRAIN_PARITY_CASE_H

/* Who trains: a program of the build folder, settings of its own (KEY=VALUE or NULL), GENLLAVA_ISA (or NULL). change: relative error that
 * the change of a parameter may have; 0: as the others. A device's gradients err a little more than the CPU's, and AdamW makes whole steps
 * out of those that are nearly 0. ranks: --ranks, or 0. */
typedef struct Trainer {
    const char *program, *set[3], *isa;
    double change;
    int ranks;
} Trainer;

/* train --config CONFIG --dump DUMP, with its output beside the dump. set: one more KEY=VALUE, or NULL. */
void parity_train(const Trainer *trainer, const char *config, const char *dump, const char *set);

/* set, set_a, set_b: KEY=VALUE or NULL. */
void parity_case(const Trainer *trainer, const char *name, const char *set);
/* Two runs of one case that must agree to the bit. */
void parity_same_bits(const Trainer *trainer, const char *name, const char *set_a, const char *set_b);
/* Two trainers whose losses, norms and gradients must agree: to `tolerance` of the largest of their kind. */
void parity_close(const Trainer *a, const Trainer *b, const char *name, const char *set, double tolerance);
/* Two trainers whose losses must agree to a relative tolerance. */
void parity_near(const Trainer *a, const Trainer *b, const char *name, const char *set, double tolerance_of_loss);

/* The cases, as X(name). */
#define PARITY_CASES(X) \
    X(defaults_like)    \
    X(stretch_rslora)   \
    X(full_decay)       \
    X(vision_full)      \
    X(tied_full)        \
    X(plain)            \
    X(visual_tokens)    \
    X(nf4)              \
    X(int8)             \
    X(first_visual)     \
    X(skipped)          \
    X(micro_mean)       \
    X(mixture)          \
    X(draw_l2norm)      \
    X(draw_mse)         \
    X(llava)            \
    X(llava_full)       \
    X(noise_frozen)     \
    X(noise_edit)       \
    X(noise_conv_in)
#endif
