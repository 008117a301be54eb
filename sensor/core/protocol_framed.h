/* The framed protocols of a flow: how they are recognised, and how they follow one another. Private
 * to the protocol code. */
#ifndef HOPTAP_PROTOCOL_FRAMED_H
#define HOPTAP_PROTOCOL_FRAMED_H

#include "framed.h"
#include "http1.h"

/* Whether something else than text begins at a line: TLS, VIX, AIO, a console. */
enum start_verdict framed_sniff(enum direction direction, const uint8_t *data, uint32_t bytes);
/* Whether a framed protocol begins the stream, and which. */
enum start_verdict framed_start(const struct protocol *protocol, enum direction direction,
                                const uint8_t *data, uint32_t bytes, uint8_t *kind);
/* A client's bytes that begin nothing known, behind authd: the server will say. */
bool framed_may_be_console(const struct protocol *protocol, enum direction direction);
/* False when memory is short (counted). The caller sets the layer. */
bool protocol_framed_open(struct protocol *protocol, enum framed_protocol kind);
/* Bytes taken. The layer may be another then, with bytes held to be fed to it. */
uint32_t protocol_framed_data(struct protocol *protocol, enum direction direction,
                              const uint8_t *data, uint32_t bytes, uint64_t time_ns);
void protocol_framed_gap(struct protocol *protocol, enum direction direction, uint64_t bytes,
                         uint64_t time_ns);
void protocol_framed_end(struct protocol *protocol, enum direction direction);
void protocol_framed_close(struct protocol *protocol);
/* Is this the flow of an authd, or of what took over from it? */
bool protocol_has_authd(const struct protocol *protocol);

#endif
