/* Every counter of the core, named once. A counter only rises. */
#ifndef HOPTAP_COUNTERS_H
#define HOPTAP_COUNTERS_H

#include <stdint.h>

/* X(name): the Python name is the same word; sensor/core_help.py gives each its help text. */
#define HOPTAP_COUNTERS(X)                                                                     \
    X(packets)                                                                                 \
    X(packet_bytes)                                                                            \
    X(decap_not_ip)                                                                            \
    X(decap_truncated)                                                                         \
    X(decap_malformed)                                                                         \
    X(decap_too_deep)                                                                          \
    X(decap_unknown_link)                                                                      \
    X(decap_tunnel_gre)                                                                        \
    X(decap_tunnel_erspan)                                                                     \
    X(decap_tunnel_vxlan)                                                                      \
    X(decap_tunnel_geneve)                                                                     \
    X(decap_tunnel_ipip)                                                                       \
    X(fragments)                                                                               \
    X(fragments_dropped)                                                                       \
    X(duplicates)                                                                              \
    X(flows)                                                                                   \
    X(flows_evicted)                                                                           \
    X(flows_expired)                                                                           \
    X(tcp_segments)                                                                            \
    X(tcp_retransmitted_bytes)                                                                 \
    X(tcp_overlap_conflicts)                                                                   \
    X(tcp_out_of_order)                                                                        \
    X(tcp_gaps)                                                                                \
    X(tcp_gap_bytes)                                                                           \
    X(tcp_buffer_shed_bytes)                                                                   \
    X(tcp_unread_bytes)                                                                        \
    X(udp_datagrams)                                                                           \
    X(stream_chunk_bytes)                                                                      \
    X(stream_skipped_bytes)                                                                    \
    X(http_requests)                                                                           \
    X(http_responses)                                                                          \
    X(http_transactions)                                                                       \
    X(http_transactions_handed_up)                                                             \
    X(http_unpaired_responses)                                                                 \
    X(http_malformed)                                                                          \
    X(http_resynchronised)                                                                     \
    X(http_body_cut)                                                                           \
    X(http_body_undecodable)                                                                   \
    X(http_pipeline_shed)                                                                      \
    X(framed_authd)                                                                            \
    X(framed_nfc)                                                                              \
    X(framed_nfc_aio)                                                                          \
    X(framed_vix)                                                                              \
    X(framed_consoles)                                                                         \
    X(framed_libvirt)                                                                          \
    X(framed_bulk_bytes)                                                                       \
    X(framed_blanked)                                                                          \
    X(framed_cut)                                                                              \
    X(framed_lost)                                                                             \
    X(framed_resynchronised)                                                                   \
    X(http2_connections)                                                                       \
    X(http2_lost)                                                                              \
    X(http2_unseen)                                                                            \
    X(http2_pushed)                                                                            \
    X(http2_streams_shed)                                                                      \
    X(operations_uncounted)                                                                    \
    X(tap_events)                                                                              \
    X(tap_malformed)                                                                           \
    X(tap_flows)                                                                               \
    X(tap_flows_late)                                                                          \
    X(tap_flows_unplaced)                                                                      \
    X(tap_flows_shed)                                                                          \
    X(tap_bytes)                                                                               \
    X(tap_gaps)                                                                                \
    X(tap_gap_bytes)                                                                           \
    X(tap_secrets)                                                                             \
    X(tap_secrets_shed)                                                                        \
    X(memory_shed)

enum counter {
#define HOPTAP_COUNTER_ENUM(name) COUNT_##name,
    HOPTAP_COUNTERS(HOPTAP_COUNTER_ENUM)
#undef HOPTAP_COUNTER_ENUM
        COUNTERS
};

struct counters {
    uint64_t value[COUNTERS];
};

static inline void count(struct counters *counters, enum counter which, uint64_t by)
{
    counters->value[which] += by;
}

#endif
