/* tensorboard.h: event files that TensorBoard reads. Scalars only. */
#ifndef GENLLAVA_TRAIN_LOG_TENSORBOARD_H
#define GENLLAVA_TRAIN_LOG_TENSORBOARD_H

#include <stdint.h>

#include "kernels/base/status.h"

typedef struct TensorBoard TensorBoard;

/* A new event file in `dir` (created when missing). Points from `step` on that earlier files of the folder hold are void: this is where a
 * resumed run goes on. */
MUST_USE Status tensorboard_open(TensorBoard **out, const char *dir, int64_t step);
MUST_USE Status tensorboard_scalar(TensorBoard *t, const char *tag, int64_t step, double value);
MUST_USE Status tensorboard_flush(TensorBoard *t);
void tensorboard_close(TensorBoard **t); /* NULL is fine */
#endif
