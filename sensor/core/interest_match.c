#include "interest_match.h"

#include <string.h>
#include <strings.h>

#include "hash64.h"
#include "interest_rules.h"

uint64_t interest_length_bit(size_t bytes)
{
    return (uint64_t)1 << (bytes < 63 ? bytes : 63);
}

struct slice interest_segment(struct slice path)
{
    if (path.bytes < 2 || path.data[0] != '/')
        return (struct slice){0};
    const uint8_t *slash = memchr(path.data + 1, '/', path.bytes - 1);
    return (struct slice){path.data, slash ? (uint32_t)(slash - path.data) + 1 : 0};
}

uint32_t interest_bucket_head(enum bucket_kind kind, struct slice name)
{
    return (uint32_t)hash64(kind, name.data, name.bytes) % BUCKET_HEADS;
}

struct bucket *interest_bucket(const struct interest *interest, enum bucket_kind kind,
                               struct slice name)
{
    struct bucket *bucket = interest->buckets[interest_bucket_head(kind, name)];
    while (bucket && (bucket->kind != kind || bucket->name_bytes != name.bytes ||
                      memcmp(bucket->name, name.data, name.bytes) != 0))
        bucket = bucket->next;
    return bucket;
}

/* '*' matches any run of characters. Only the last star needs to be retried, so the work is bounded
 * by the product of the lengths, of which the pattern's is ours. */
static bool matches(const char *pattern, uint32_t pattern_bytes, struct slice text)
{
    uint32_t p = 0, t = 0, star = UINT32_MAX, retry = 0;
    while (t < text.bytes) {
        if (p < pattern_bytes && pattern[p] == '*') {
            star = p++;
            retry = t;
        } else if (p < pattern_bytes && (uint8_t)pattern[p] == text.data[t]) {
            p++;
            t++;
        } else if (star != UINT32_MAX) {
            p = star + 1;
            t = ++retry;
        } else {
            return false;
        }
    }
    while (p < pattern_bytes && pattern[p] == '*')
        p++;
    return p == pattern_bytes;
}

static bool quick_fits(const struct quick *quick, struct slice text)
{
    if (text.bytes < quick->bytes_min)
        return false;
    uint64_t bytes = 0;
    uint32_t left = text.bytes - quick->at;
    if (left >= 8)
        memcpy(&bytes, text.data + quick->at, 8);
    else if (left)
        memcpy(&bytes, text.data + quick->at, left);
    return ((bytes ^ quick->bytes) & quick->mask) == 0;
}

static bool method_fits(const struct rule *rule, struct slice method)
{
    if (rule->method_bytes == 1 && rule->method[0] == '*')
        return true;
    return rule->method_bytes == method.bytes &&
           memcmp(rule->method, method.data, method.bytes) == 0;
}

/* Keeps the numbers in order: lists are in order each, but not one after the other. */
static void insert(struct matching_rules *matching, uint16_t rule)
{
    uint32_t at = matching->count;
    while (at && matching->rule[at - 1] > rule)
        at--;
    if (at == MATCHING_RULES_MAX)
        return;
    if (matching->count == MATCHING_RULES_MAX)
        matching->count--;
    memmove(matching->rule + at + 1, matching->rule + at,
            (matching->count - at) * sizeof *matching->rule);
    matching->rule[at] = rule;
    matching->count++;
}

static void match_list(const struct interest *interest, const struct rule_list *list,
                       const struct request_name *name, struct slice text,
                       struct matching_rules *matching)
{
    for (size_t i = 0; i < list->count; i++) {
        const struct quick *quick = &list->items[i];
        if (!quick_fits(quick, text))
            continue;
        const struct rule *rule = &interest->rules[quick->rule];
        if ((!rule->method || method_fits(rule, name->method)) &&
            matches(rule->pattern, rule->pattern_bytes, text))
            insert(matching, quick->rule);
    }
}

static void match_bucket(const struct interest *interest, enum bucket_kind kind, struct slice key,
                         const struct request_name *name, struct slice text,
                         struct matching_rules *matching)
{
    const struct bucket *bucket = interest_bucket(interest, kind, key);
    if (bucket)
        match_list(interest, &bucket->list, name, text, matching);
}

void interest_match(const struct interest *interest, const struct request_name *name,
                    struct matching_rules *matching)
{
    matching->count = 0;
    if (name->operation.bytes) {
        match_bucket(interest, BUCKET_OPERATION, name->operation, name, name->operation, matching);
        match_list(interest, &interest->any_operation, name, name->operation, matching);
    }
    if (!name->path.bytes)
        return;
    struct slice segment = interest_segment(name->path);
    match_bucket(interest, BUCKET_PATH, name->path, name, name->path, matching);
    match_list(interest, &interest->any_path, name, name->path, matching);
    if (segment.bytes)
        match_bucket(interest, BUCKET_SEGMENT, segment, name, name->path, matching);
}

unsigned interest_wants(const struct interest *interest, uint16_t rule)
{
    return interest->rules[rule].want;
}

bool interest_has_needles(const struct interest *interest, uint16_t rule, enum direction direction)
{
    return interest->rules[rule].has[direction] != NULL;
}

bool interest_needle_in(const struct interest *interest, uint16_t rule, enum direction direction,
                        struct slice body)
{
    const struct needle_set *set = interest->rules[rule].has[direction];
    return !set || needle_set_in(set, body);
}

bool interest_in_operations(const struct interest *interest)
{
    return interest->operations;
}

static bool in_list(const struct name_list *list, const uint8_t *name, uint32_t bytes)
{
    if (!(list->lengths & interest_length_bit(bytes)))
        return false;
    for (size_t i = 0; i < list->count; i++) {
        if (strlen(list->name[i]) == bytes &&
            strncasecmp(list->name[i], (const char *)name, bytes) == 0)
            return true;
    }
    return false;
}

bool interest_is_token_header(const struct interest *interest, const uint8_t *name, uint32_t bytes)
{
    return in_list(&interest->headers, name, bytes);
}

bool interest_is_token_cookie(const struct interest *interest, const uint8_t *name, uint32_t bytes)
{
    return in_list(&interest->cookies, name, bytes);
}

bool interest_is_object_property(const struct interest *interest, const uint8_t *name,
                                 uint32_t bytes)
{
    return in_list(&interest->object_properties, name, bytes);
}

bool interest_wants_port(const struct interest *interest, uint8_t protocol, uint16_t port)
{
    uint32_t wanted = (uint32_t)protocol << 16 | port;
    for (size_t i = 0; i < interest->port_count; i++) {
        if (interest->ports[i] == wanted)
            return true;
    }
    return false;
}
