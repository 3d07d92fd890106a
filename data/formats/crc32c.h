/* crc32c.h: the Castagnoli checksum (RFC 3720, reflected polynomial 0x82F63B78) that guards each stored image. */
#ifndef GENLLAVA_DATA_FORMATS_CRC32C_H
#define GENLLAVA_DATA_FORMATS_CRC32C_H

#include <stddef.h>
#include <stdint.h>

uint32_t crc32c(const void *bytes, size_t n);          /* with the processor's instruction where it has one */
uint32_t crc32c_portable(const void *bytes, size_t n); /* the same number by a table */
#endif
