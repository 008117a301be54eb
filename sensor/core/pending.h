/* A request, and what is known of its response, while either is still under way. */
#ifndef HOPTAP_PENDING_H
#define HOPTAP_PENDING_H

#include "body.h"
#include "http_head.h"
#include "interest_match.h"
#include "soap.h"

struct pending {
    struct pending *next;
    uint64_t request_ns, response_ns, end_ns;
    struct slice method, target, request_head;                /* in text */
    struct slice operation, this_type, this_id, operation_id; /* in text, or in names */
    struct body *request_body, *response_body; /* NULL unless kept; owned, freed with pending */
    struct kept names;                         /* names too long for text; owned */
    struct kept response_head;                 /* empty unless it may be handed up; owned */
    struct soap_scan soap;
    uint32_t text_bytes, text_room;
    uint32_t body_from; /* where the part of the request body begins that says what is asked */
    struct matching_rules rules; /* those that may still be satisfied */
    uint16_t status, flags;
    bool is_head, is_connect;
    bool expect_continue;
    bool scans; /* the operation is still looked for in the request body */
    bool request_done, response_seen, response_done;
    bool abandoned;   /* its response cannot be told apart; of HTTP/1: it is in no queue */
    bool loss_behind; /* HTTP/1: bytes to the server were lost between this request and the next
                         one known */
    uint8_t text[];  /* method, target, header lines, and room for names */
};

/* NULL when memory is short. Copies what it keeps of the head. */
struct pending *pending_open(struct budget *budget, const struct http_head *head,
                             uint64_t request_ns);
void pending_close(struct pending *pending, struct budget *budget);

#endif
