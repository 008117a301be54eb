/* A request with its response, as handed up; and who receives what a flow's bytes turned out to be. */
#ifndef HOPTAP_TRANSACTION_H
#define HOPTAP_TRANSACTION_H

#include "packet.h"

struct flow;
struct tls_info;
struct framed;

struct slice {
    const uint8_t *data;
    uint32_t bytes;
};

enum transaction_flag {
    /* Body longer than http_body_bytes_max, memory short, undecodable, or never sent in full. */
    TRANSACTION_REQUEST_CUT = 1,
    TRANSACTION_RESPONSE_CUT = 2,
    TRANSACTION_REQUEST_GAP = 4,    /* bytes of this message were not captured */
    TRANSACTION_RESPONSE_GAP = 8,
    TRANSACTION_NEW_TOKEN = 16,     /* a token's first appearance on this flow */
    TRANSACTION_NO_RESPONSE = 32,   /* the flow ended, or the capture lost it */
    TRANSACTION_INTERIM = 64,       /* a 1xx response came before the final one */
    TRANSACTION_TUNNELLED = 128,    /* inside a CONNECT tunnel of the same flow */
    TRANSACTION_DECRYPTED = 256,    /* came out of TLS */
    TRANSACTION_HTTP2 = 512,        /* names of fields are in lower case; no reason phrase */
};

struct transaction {
    uint64_t request_ns;  /* first byte of the request */
    uint64_t response_ns; /* first byte of the final response; 0: none */
    uint64_t end_ns;      /* last byte of the response, or when we gave up on it */
    uint16_t status;      /* 0: none */
    uint16_t flags;       /* enum transaction_flag */
    /* Borrowed during the call only. Heads are header lines without the start line and
     * without the empty line. Bodies are de-chunked and decompressed, empty unless asked for. */
    struct slice method, target;
    struct slice request_head, response_head;
    struct slice request_body, response_body;
    /* Of a SOAP request: local name of the operation, `_this` and its type, operationID. XML entities are left as sent. */
    struct slice operation, this_type, this_id, operation_id;
};

struct protocol_sink {
    void *context;
    void (*transaction)(void *context, struct flow *flow, const struct transaction *transaction);
    /* PROXY protocol v1 or v2 header, whole, as sent. */
    void (*proxy_header)(void *context, struct flow *flow, struct slice header, uint64_t time_ns);
    /* Non-HTTP stream bytes, bytes after an upgrade: only of ports asked for. */
    void (*chunk)(void *context, struct flow *flow, enum direction direction, struct slice chunk,
                  uint64_t time_ns);
    /* In those streams, and in decrypted ones. Gaps in clear HTTP are the engine's to report. */
    void (*gap)(void *context, struct flow *flow, enum direction direction, uint64_t bytes,
                uint64_t time_ns);
    /* Something of the flow's TLS is new; before the transactions it describes. */
    void (*tls)(void *context, struct flow *flow, const struct tls_info *info);
    /* Of the protocols on TCP 902; borrowed during the call only. */
    void (*message)(void *context, struct flow *flow, enum direction direction,
                    const struct framed *framed);
};

#endif
