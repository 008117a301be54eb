/* The rules of an interest and the index that finds those of a request without trying them all:
 * hundreds of operations and paths are asked for, and most requests are none of them. Private to
 * interest*.c. */
#ifndef HOPTAP_INTEREST_RULES_H
#define HOPTAP_INTEREST_RULES_H

#include "interest_match.h"
#include "needles.h"

struct rule {
    char *method;  /* of paths; owned */
    char *pattern; /* owned */
    uint32_t method_bytes, pattern_bytes;
    unsigned want;
    struct needle_set *has[2]; /* by direction of the message; owned; NULL: no condition */
};

/* The last bytes, up to 8, of what stands before a pattern's first star. */
struct quick {
    uint64_t bytes, mask;
    uint32_t at;        /* where they stand */
    uint32_t bytes_min; /* of a name that can match */
    uint16_t rule;
};

struct rule_list {
    struct quick *items; /* owned; rules in the order they were added */
    size_t count;
};

enum bucket_kind { BUCKET_OPERATION, BUCKET_PATH, BUCKET_SEGMENT };

/* Rules without a star by their whole name; path rules with one by the path's first segment, if
 * that is before the star. */
struct bucket {
    struct bucket *next;
    enum bucket_kind kind;
    char *name; /* owned */
    uint32_t name_bytes;
    struct rule_list list;
};

enum { BUCKET_HEADS = 1024, RULES_MAX = UINT16_MAX };

struct name_list {
    char **name; /* owned, and each name */
    size_t count;
    uint64_t lengths; /* bit n: a name of n bytes (63: or longer) is among them */
};

struct interest {
    struct rule *rules; /* owned, as all below; freed in interest_close */
    size_t rule_count;
    struct bucket *buckets[BUCKET_HEADS];
    struct rule_list any_operation, any_path; /* what no bucket can hold */
    bool operations;
    struct name_list headers, cookies, object_properties;
    uint32_t *ports; /* protocol << 16 | port */
    size_t port_count;
};

uint64_t interest_length_bit(size_t bytes);
/* A path's first segment with both its slashes; empty when there is no second slash. */
struct slice interest_segment(struct slice path);
/* NULL when there is none. */
struct bucket *interest_bucket(const struct interest *interest, enum bucket_kind kind,
                               struct slice name);
uint32_t interest_bucket_head(enum bucket_kind kind, struct slice name);

#endif
