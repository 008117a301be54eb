/* Whom a process talks to through one of its sockets. */
#ifndef HOPTAP_ENDPOINTS_H
#define HOPTAP_ENDPOINTS_H

#include "packet.h"

struct endpoints {
    uint8_t local[ADDRESS_BYTES], peer[ADDRESS_BYTES]; /* as in struct datagram */
    uint16_t local_port, peer_port;
    uint8_t ip_version;
};

/* Of a TCP socket that is connected now. False when the descriptor is none, or closed, or when this
 * process may not look: it needs CAP_SYS_PTRACE, or the same user. */
bool endpoints_of(uint32_t pid, int fd, struct endpoints *endpoints);

#endif
