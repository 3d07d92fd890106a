/* tensorboard.h: event files that TensorBoard reads: scalars and pictures. */
#ifndef GENLLAVA_TRAIN_LOG_TENSORBOARD_H
#define GENLLAVA_TRAIN_LOG_TENSORBOARD_H

#include <stdint.h>

#include "kernels/base/status.h"

typedef struct TensorBoard TensorBoard;

/* A new event file in `dir` (created when missing). Points from `step` on that earlier files of the folder hold are void: this is where a
 * resumed run goes on. */
MUST_USE Status tensorboard_open(TensorBoard **out, const char *dir, int64_t step);
MUST_USE Status tensorboard_scalar(TensorBoard *t, const char *tag, int64_t step, double value);
/* png: n bytes of a picture of this size. */
MUST_USE Status tensorboard_image(TensorBoard *t, const char *tag, int64_t step, int32_t width, int32_t height, const void *png, size_t n);
MUST_USE Status tensorboard_flush(TensorBoard *t);
void tensorboard_close(TensorBoard **t); /* NULL is fine */
#endif
