/* image_losses.h: the losses of pictures to draw and to edit, and the context that both read: the generation head's, of the states of each
 * target's visual output tokens. Spec: model.md 4.2 to 4.5. */
#ifndef GENLLAVA_TRAIN_MODELS_IMAGE_LOSSES_H
#define GENLLAVA_TRAIN_MODELS_IMAGE_LOSSES_H

#include "train/models/genllava.h"

/* The context of all target images of a pass, [n_targets·queries,C]; states as in LossPass. */
Tensor *image_context(Tape *t, const GenLlava *g, Tensor *states, const Batch *b);
/* The same of zero states, which stands for no condition: [queries,C]. */
Tensor *image_null_context(Tape *t, const GenLlava *g);

LossFn image_generate_loss, image_edit_loss;
#endif
