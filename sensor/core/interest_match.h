/* How the protocol code asks what was asked for. Read-only: workers share one interest. */
#ifndef HOPTAP_INTEREST_MATCH_H
#define HOPTAP_INTEREST_MATCH_H

#include "interest.h"
#include "transaction.h"

enum { RULE_NONE = -1 };

/* What a request is called; operation is empty unless it is SOAP. */
struct request_name {
    struct slice method;
    struct slice path; /* http_path() of the target */
    struct slice operation;
};

/* The path of a request target: without scheme and authority (absolute form), without query. */
struct slice http_path(struct slice target);

/* Index of the first rule from `from` on whose name matches; RULE_NONE when there is none. */
int interest_rule(const struct interest *interest, const struct request_name *name, int from);
unsigned interest_wants(const struct interest *interest, int rule);
bool interest_has_needles(const struct interest *interest, int rule, enum direction direction);
/* True when the rule has no needles for this direction, or body holds one of them. */
bool interest_needle_in(const struct interest *interest, int rule, enum direction direction,
                        struct slice body);
/* Whether any rule names an operation: what a request might turn out to be before its body is known. */
bool interest_in_operations(const struct interest *interest);

bool interest_is_token_header(const struct interest *interest, const uint8_t *name,
                              uint32_t bytes);
bool interest_is_token_cookie(const struct interest *interest, const uint8_t *name,
                              uint32_t bytes);
bool interest_wants_port(const struct interest *interest, uint8_t protocol, uint16_t port);

#endif
