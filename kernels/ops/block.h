/* block.h: what the cpu backend makes of the dropped x or of dx at a time (adapter.h), and of transformed images (conv.h), so that it stays
 * in the cache; what it widens of matrices in 8 bits (fp8.h), with their product; and what a thread makes of transformed kernels and their
 * products. Plans of memory hold them. */
#ifndef GENLLAVA_KERNELS_OPS_BLOCK_H
#define GENLLAVA_KERNELS_OPS_BLOCK_H

enum { ADAPTER_BLOCK_BYTES = 8 << 20, CONV_BLOCK_BYTES = 24 << 20, CONV_THREAD_BYTES = 7 << 20, FP8_BLOCK_BYTES = 5 << 18 };
#endif
