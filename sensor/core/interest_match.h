/* How the protocol code asks what was asked for. Read-only: workers share one interest. */
#ifndef HOPTAP_INTEREST_MATCH_H
#define HOPTAP_INTEREST_MATCH_H

#include "interest.h"
#include "transaction.h"

/* More rules than this for one request are not tried: the first ones count. */
enum { MATCHING_RULES_MAX = 32 };

/* What a request is called; operation is empty unless it is SOAP. */
struct request_name {
    struct slice method;
    struct slice path; /* http_path() of the target */
    struct slice operation;
};

/* Rules by number, in the order they were added. */
struct matching_rules {
    uint16_t rule[MATCHING_RULES_MAX];
    uint8_t count;
};

/* The rules whose names match. */
void interest_match(const struct interest *interest, const struct request_name *name,
                    struct matching_rules *matching);
unsigned interest_wants(const struct interest *interest, uint16_t rule);
bool interest_has_needles(const struct interest *interest, uint16_t rule, enum direction direction);
/* True when the rule has no needles for this direction, or body holds one of them. */
bool interest_needle_in(const struct interest *interest, uint16_t rule, enum direction direction,
                        struct slice body);
/* Whether any rule names an operation: what a request might turn out to be before its body is
 * known. */
bool interest_in_operations(const struct interest *interest);

bool interest_is_token_header(const struct interest *interest, const uint8_t *name, uint32_t bytes);
bool interest_is_token_cookie(const struct interest *interest, const uint8_t *name, uint32_t bytes);
bool interest_is_object_property(const struct interest *interest, const uint8_t *name,
                                 uint32_t bytes);
bool interest_wants_port(const struct interest *interest, uint8_t protocol, uint16_t port);

#endif
