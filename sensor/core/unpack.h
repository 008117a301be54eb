/* gzip and zstd, unpacked as they come: several members or frames follow each other as one. */
#ifndef HOPTAP_UNPACK_H
#define HOPTAP_UNPACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum packing { PACKING_NONE, PACKING_GZIP, PACKING_ZSTD };

/* What the first bytes of a file say; four are enough, with fewer it is PACKING_NONE. */
enum packing packing_of(const uint8_t *data, size_t bytes);

struct unpack;

/* NULL when memory is short. */
struct unpack *unpack_open(enum packing packing);

/* Moves packed bytes from *at (up to end) to out and says how many it made. Makes progress
 * whenever *at < end. False when the packed bytes are damaged: unpack_reason() says how;
 * what was made before the damage still counts. */
bool unpack(struct unpack *unpack, const uint8_t **at, const uint8_t *end, uint8_t *out,
            size_t room, size_t *made);

/* Would an end of input here be a clean one? */
bool unpack_whole(const struct unpack *unpack);
const char *unpack_format(const struct unpack *unpack);
const char *unpack_reason(const struct unpack *unpack);
void unpack_close(struct unpack *unpack);

#endif
