/* The TLS of a flow, and the protocol inside it. Private to the protocol code. */
#ifndef HOPTAP_PROTOCOL_TLS_H
#define HOPTAP_PROTOCOL_TLS_H

#include "http1.h"

/* False when memory is short (counted). */
bool protocol_tls_open(struct protocol *protocol);
/* Ends what it carries, frees both; fine when there is none. */
void protocol_tls_close(struct protocol *protocol, uint64_t time_ns);

/* protocol.c: bytes of an opaque stream. */
void protocol_opaque(struct protocol *protocol, enum direction direction, const uint8_t *data,
                     uint32_t bytes, uint64_t time_ns);

#endif
