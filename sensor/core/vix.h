/* VIX messages as open-vm-tools lays them out (vixCommands.h, foundryMsg.c): a header, a body and a
 * credential, without gaps, little endian. What a decoder does not need is zeroed on the way up. */
#ifndef HOPTAP_VIX_H
#define HOPTAP_VIX_H

#include "framing.h"

enum {
    VIX_COMMON_BYTES = 23,
    VIX_HEADER_BYTES = 51, /* of a request and of a response */
};

enum vix_flag { VIX_REQUEST = 0x01 };

struct vix_layout {
    uint32_t total_bytes, header_bytes, body_bytes, credential_bytes;
    bool request;
};

/* Whether a message of this direction begins here. */
enum start_verdict vix_start(enum direction direction, const uint8_t *data, uint32_t bytes);
uint32_t vix_data(struct framing *framing, enum direction direction, const uint8_t *data,
                  uint32_t bytes, uint64_t time_ns);
void vix_gap(struct framing *framing, enum direction direction);

/* vix_secrets.c: zeroes what could be used again, or need not be known. True when there was
 * anything. */
bool vix_blank_credential(uint8_t *region, uint32_t bytes, uint32_t type);
bool vix_blank_body(uint8_t *body, uint32_t bytes, uint32_t opcode);
bool vix_zero(uint8_t *data, uint32_t bytes);

#endif
