/* Who says such a thing, a client or a server: for streams of which it is not known who began. */
#ifndef HOPTAP_SPEAKER_H
#define HOPTAP_SPEAKER_H

#include <stdint.h>

enum speaker { SPEAKER_UNKNOWN, SPEAKER_CLIENT, SPEAKER_SERVER };

/* Of bytes with which a message may begin. */
enum speaker speaker_of(const uint8_t *data, uint32_t bytes);

#endif
