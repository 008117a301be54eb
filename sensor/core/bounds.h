/* Every bound and time-out of the core; set once from the configuration.
 * sensor/config.py holds the defaults and their reasons. */
#ifndef HOPTAP_BOUNDS_H
#define HOPTAP_BOUNDS_H

#include <stdint.h>

#define HOPTAP_LIMITS(X)                                                                       \
    X(flows_max)                  /* flows in the table; the oldest idle one makes room */     \
    X(flow_idle_timeout_ms)       /* packet time */                                            \
    X(flow_closed_timeout_ms)     /* after FIN both ways or RST: linger for late packets */    \
    X(memory_bytes_max)           /* all traffic-driven buffers together */                    \
    X(stream_buffer_bytes_max)    /* out-of-order bytes held per stream */                     \
    X(stream_gap_timeout_ms)      /* a hole older than this is a gap */                        \
    X(stream_chunk_bytes_max)     /* per direction handed up of a non-HTTP stream */           \
    X(fragment_timeout_ms)                                                                     \
    X(fragment_datagrams_max)                                                                  \
    X(duplicate_window_ms)        /* 0 turns duplicate recognition off */                      \
    X(http_head_bytes_max)                                                                     \
    X(http_body_bytes_max)        /* kept per body, after decompression */                     \
    X(http_pipeline_max)          /* requests outstanding on a flow */                         \
    X(http2_streams_max)          /* requests outstanding on an HTTP/2 connection */           \
    X(http_tokens_per_flow_max)                                                                \
    X(operations_max)             /* rows in the table of operation counts */

struct limits {
#define HOPTAP_LIMIT_FIELD(name) uint64_t name;
    HOPTAP_LIMITS(HOPTAP_LIMIT_FIELD)
#undef HOPTAP_LIMIT_FIELD
};

#endif
