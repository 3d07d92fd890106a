/* block.h: what the cpu backend makes of the dropped x or of dx at a time (adapter.h), so that it stays in the cache. Plans of memory hold
 * it. */
#ifndef GENLLAVA_KERNELS_OPS_BLOCK_H
#define GENLLAVA_KERNELS_OPS_BLOCK_H

enum { ADAPTER_BLOCK_BYTES = 8 << 20 };
#endif
