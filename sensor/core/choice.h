/* What is kept of a transaction, whether it is handed up, and its count: the same for every version
 * of HTTP, which calls these in the order in which a transaction goes on. */
#ifndef HOPTAP_CHOICE_H
#define HOPTAP_CHOICE_H

#include "pending.h"
#include "protocol.h"
#include "tokens.h"

/* What the transactions of a flow have in common. */
struct http_flow {
    const struct protocol_shared *shared;
    struct flow *flow;
    struct tokens tokens;
    uint16_t flags; /* of every transaction: enum transaction_flag */
};

void choice_request(struct http_flow *http, struct pending *pending,
                    const struct http_head *head, bool has_body);
void choice_request_body(struct http_flow *http, struct pending *pending, const uint8_t *data,
                         uint32_t bytes);
/* Bytes of the body are missing: what is known of the request by now has to do. */
void choice_request_gap(struct http_flow *http, struct pending *pending);
void choice_request_done(struct http_flow *http, struct pending *pending);
void choice_response(struct http_flow *http, struct pending *pending,
                     const struct http_head *head);
void choice_report(struct http_flow *http, struct pending *pending);

#endif
