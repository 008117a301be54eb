/* The RPC of libvirt on TCP 16509 and, inside TLS, 16514 (src/rpc/virnetprotocol.x): a length of four
 * bytes that counts itself, a header of 24, a body in XDR (RFC 4506), all big endian. */
#ifndef HOPTAP_LIBVIRT_H
#define HOPTAP_LIBVIRT_H

#include "framing.h"

enum { LIBVIRT_HEADER_BYTES = 28 }; /* the length included */

/* Whether a call, or towards the client an answer, begins here. Inside TLS the server says first, by
 * one byte, that it takes the client's certificate. */
enum start_verdict libvirt_start(bool decrypted, enum direction direction, const uint8_t *data,
                                 uint32_t bytes);
uint32_t libvirt_data(struct framing *framing, enum direction direction, const uint8_t *data,
                      uint32_t bytes, uint64_t time_ns);
void libvirt_gap(struct framing *framing, enum direction direction);

#endif
