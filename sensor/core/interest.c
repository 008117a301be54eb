#include "interest.h"

#include <stdlib.h>
#include <string.h>

#include "interest_rules.h"

struct interest *interest_open(void)
{
    return calloc(1, sizeof(struct interest));
}

static void free_names(struct name_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->name[i]);
    free(list->name);
}

static void free_rule(struct rule *rule)
{
    free(rule->method);
    free(rule->pattern);
    needle_set_close(rule->has[TO_SERVER]);
    needle_set_close(rule->has[TO_CLIENT]);
}

static bool copy_needles(struct needle_set **set, struct needles needles)
{
    if (!needles.count)
        return true;
    *set = needle_set_open(needles.text, needles.count);
    return *set != NULL;
}

static bool add_to_list(struct rule_list *list, const char *pattern, uint16_t rule)
{
    struct quick *items = realloc(list->items, (list->count + 1) * sizeof *items);
    if (!items)
        return false;
    list->items = items;
    size_t literal = strcspn(pattern, "*");
    size_t compared = literal < 8 ? literal : 8;
    struct quick quick = {.rule = rule, .at = (uint32_t)(literal - compared)};
    memcpy(&quick.bytes, pattern + quick.at, compared);
    memset(&quick.mask, 0xff, compared);
    for (const char *at = pattern; *at; at++)
        quick.bytes_min += *at != '*';
    items[list->count++] = quick;
    return true;
}

static struct bucket *add_bucket(struct interest *interest, enum bucket_kind kind,
                                 struct slice name)
{
    struct bucket *bucket = interest_bucket(interest, kind, name);
    if (bucket)
        return bucket;
    bucket = calloc(1, sizeof *bucket);
    if (!bucket)
        return NULL;
    bucket->name = strndup((const char *)name.data, name.bytes);
    if (!bucket->name) {
        free(bucket);
        return NULL;
    }
    bucket->kind = kind;
    bucket->name_bytes = name.bytes;
    struct bucket **head = &interest->buckets[interest_bucket_head(kind, name)];
    bucket->next = *head;
    *head = bucket;
    return bucket;
}

static bool add_to_index(struct interest *interest, const struct rule *rule, uint16_t number)
{
    struct slice pattern = {(const uint8_t *)rule->pattern, rule->pattern_bytes};
    bool path = rule->method != NULL;
    const uint8_t *star = memchr(pattern.data, '*', pattern.bytes);
    struct slice segment = interest_segment(pattern);
    struct rule_list *list = path ? &interest->any_path : &interest->any_operation;
    struct bucket *bucket = NULL;
    if (!star)
        bucket = add_bucket(interest, path ? BUCKET_PATH : BUCKET_OPERATION, pattern);
    else if (path && segment.bytes && segment.data + segment.bytes <= star)
        bucket = add_bucket(interest, BUCKET_SEGMENT, segment);
    else
        return add_to_list(list, rule->pattern, number);
    return bucket && add_to_list(&bucket->list, rule->pattern, number);
}

static bool add_rule(struct interest *interest, const struct rule *rule)
{
    if (interest->rule_count == RULES_MAX)
        return false;
    struct rule *rules = realloc(interest->rules, (interest->rule_count + 1) * sizeof *rules);
    if (!rules)
        return false;
    interest->rules = rules;
    if (!add_to_index(interest, rule, (uint16_t)interest->rule_count))
        return false;
    rules[interest->rule_count++] = *rule;
    return true;
}

static bool add(struct interest *interest, const char *method, const char *pattern, unsigned want,
                struct needles request_has, struct needles response_has)
{
    struct rule rule = {.want = want, .pattern = strdup(pattern)};
    if (method)
        rule.method = strdup(method);
    bool made = rule.pattern && (!method || rule.method) &&
                copy_needles(&rule.has[TO_SERVER], request_has) &&
                copy_needles(&rule.has[TO_CLIENT], response_has);
    if (made) {
        rule.pattern_bytes = (uint32_t)strlen(pattern);
        rule.method_bytes = method ? (uint32_t)strlen(method) : 0;
        made = add_rule(interest, &rule);
    }
    if (!made)
        free_rule(&rule);
    return made;
}

bool interest_add_operation(struct interest *interest, const char *operation, unsigned want,
                            struct needles request_has, struct needles response_has)
{
    interest->operations = true;
    return add(interest, NULL, operation, want, request_has, response_has);
}

bool interest_add_path(struct interest *interest, const char *method, const char *path,
                       unsigned want, struct needles request_has, struct needles response_has)
{
    return add(interest, method, path, want, request_has, response_has);
}

static bool add_name(struct name_list *list, const char *name)
{
    char **names = realloc(list->name, (list->count + 1) * sizeof *names);
    if (!names)
        return false;
    list->name = names;
    names[list->count] = strdup(name);
    if (!names[list->count])
        return false;
    list->count++;
    list->lengths |= interest_length_bit(strlen(name));
    return true;
}

bool interest_add_token_header(struct interest *interest, const char *name)
{
    return add_name(&interest->headers, name);
}

bool interest_add_token_cookie(struct interest *interest, const char *name)
{
    return add_name(&interest->cookies, name);
}

bool interest_add_object_property(struct interest *interest, const char *name)
{
    return add_name(&interest->object_properties, name);
}

bool interest_add_port(struct interest *interest, uint8_t protocol, uint16_t port)
{
    uint32_t *ports = realloc(interest->ports, (interest->port_count + 1) * sizeof *ports);
    if (!ports)
        return false;
    interest->ports = ports;
    ports[interest->port_count++] = (uint32_t)protocol << 16 | port;
    return true;
}

static void free_buckets(struct bucket *bucket)
{
    while (bucket) {
        struct bucket *next = bucket->next;
        free(bucket->name);
        free(bucket->list.items);
        free(bucket);
        bucket = next;
    }
}

void interest_close(struct interest *interest)
{
    if (!interest)
        return;
    for (size_t i = 0; i < interest->rule_count; i++)
        free_rule(&interest->rules[i]);
    free(interest->rules);
    for (int i = 0; i < BUCKET_HEADS; i++)
        free_buckets(interest->buckets[i]);
    free(interest->any_operation.items);
    free(interest->any_path.items);
    free_names(&interest->headers);
    free_names(&interest->cookies);
    free_names(&interest->object_properties);
    free(interest->ports);
    free(interest);
}
