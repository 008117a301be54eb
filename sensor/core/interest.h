/* What the decoders asked for, said once at start; read-only afterwards, so workers may share it.
 *
 * A rule names an operation (SOAP) or a method and path (REST) and says which bodies to hand up.
 * Rules are tried in the order they were added, the first 32 that name a request. A request is a
 * candidate when its name matches and, if the rule has request needles, its body holds one of them;
 * the transaction is handed up when, in addition, the response satisfies the rule. */
#ifndef HOPTAP_INTEREST_H
#define HOPTAP_INTEREST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum want {
    WANT_REQUEST_BODY = 1,
    WANT_RESPONSE_BODY = 2,
    WANT_FAILED_ONLY = 4, /* status 400 and above, or no response */
    WANT_CHANGED_ONLY = 8, /* skip when this server gave this request the same answer before */
    WANT_NEW_OBJECTS = 16, /* only if the answer says something new of an object's identity */
};

struct needles {
    const char *const *text; /* any of these; borrowed during the call only */
    size_t count;            /* 0: no condition */
};

struct interest;

struct interest *interest_open(void);
/* operation: local name of the first element of the SOAP body; '*' matches any run of characters. */
bool interest_add_operation(struct interest *interest, const char *operation, unsigned want,
                            struct needles request_has, struct needles response_has);
/* method: exact or "*"; path: without query, '*' matches any run of characters ('/' too). */
bool interest_add_path(struct interest *interest, const char *method, const char *path,
                       unsigned want, struct needles request_has, struct needles response_has);
/* Where session tokens stand: a header's name, or a cookie's. The first transaction on a flow
 * that carries a token value not seen on that flow before is always handed up (heads only,
 * unless a rule asks for bodies). Names compare without case. */
bool interest_add_token_header(struct interest *interest, const char *name);
bool interest_add_token_cookie(struct interest *interest, const char *name);
/* A property of managed objects that tells their identity (name, config.uuid), for WANT_NEW_OBJECTS. */
bool interest_add_object_property(struct interest *interest, const char *name);
/* Non-HTTP streams and datagrams to this server port go up as chunks and gaps; protocol is PROTO_*. */
bool interest_add_port(struct interest *interest, uint8_t protocol, uint16_t port);
void interest_close(struct interest *interest);

#endif
