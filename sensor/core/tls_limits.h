/* Every bound and time-out of TLS; set once from the configuration, as limits.h. */
#ifndef HOPTAP_TLS_LIMITS_H
#define HOPTAP_TLS_LIMITS_H

#include <stdint.h>

#define HOPTAP_TLS_LIMITS(X)                                                                   \
    X(tls_secrets_max)          /* secrets remembered; the oldest is forgotten */              \
    X(tls_tickets_max)          /* session ids and tickets remembered, likewise */             \
    X(tls_held_bytes_max)       /* ciphertext held per flow for a late key; 0: never wait */   \
    X(tls_held_total_bytes_max) /* of all flows; the flow that waits longest gives way */      \
    X(tls_held_timeout_ms)      /* packet time */

struct tls_limits {
#define HOPTAP_TLS_LIMIT_FIELD(name) uint64_t name;
    HOPTAP_TLS_LIMITS(HOPTAP_TLS_LIMIT_FIELD)
#undef HOPTAP_TLS_LIMIT_FIELD
};

#endif
