/* validate.h: the loss of the held-out rows (data.validation) as the model is now. Called by the loop. */
#ifndef GENLLAVA_TRAIN_VALIDATE_H
#define GENLLAVA_TRAIN_VALIDATE_H

#include "train/models/losses.h"
#include "train/setup.h"

/* Over all of them together, on all ranks: what a step of these rows would tell, without dropout. Random numbers are the same each time.
 * Nothing of the run changes. */
MUST_USE Status validate(Setup *s, StepLosses *losses);
#endif
