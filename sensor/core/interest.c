#include "interest.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "interest_match.h"

enum { NAME_OPERATION, NAME_PATH };

struct needle_list {
    char **text; /* owned, and each text */
    size_t count;
};

struct rule {
    char *method;  /* of paths; owned */
    char *pattern; /* owned */
    uint32_t method_bytes, pattern_bytes;
    unsigned want;
    struct needle_list has[2]; /* by direction of the message */
};

/* The first 8 bytes of a name decide most comparisons: (name ^ prefix) & mask is 0 when they agree. */
struct quick {
    uint64_t prefix, mask;
    uint32_t kind;      /* NAME_* */
    uint32_t bytes_min; /* of the name */
};

struct name_list {
    char **name; /* owned, and each name */
    size_t count;
    uint64_t lengths; /* bit n: a name of n bytes (63: or longer) is among them */
};

struct interest {
    struct rule *rules;  /* owned, as all below; freed in interest_close */
    struct quick *quick; /* one for each rule */
    size_t rule_count;
    bool operations;
    struct name_list headers, cookies;
    uint32_t *ports; /* protocol << 16 | port */
    size_t port_count;
};

struct interest *interest_open(void)
{
    return calloc(1, sizeof(struct interest));
}

static void free_list(char **text, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(text[i]);
    free(text);
}

static void free_rule(struct rule *rule)
{
    free(rule->method);
    free(rule->pattern);
    free_list(rule->has[TO_SERVER].text, rule->has[TO_SERVER].count);
    free_list(rule->has[TO_CLIENT].text, rule->has[TO_CLIENT].count);
}

static bool copy_needles(struct needle_list *list, struct needles needles)
{
    if (!needles.count)
        return true;
    list->text = calloc(needles.count, sizeof *list->text);
    if (!list->text)
        return false;
    for (; list->count < needles.count; list->count++) {
        list->text[list->count] = strdup(needles.text[list->count]);
        if (!list->text[list->count])
            return false;
    }
    return true;
}

static struct quick quick_of(uint32_t kind, const char *pattern)
{
    size_t literal = strcspn(pattern, "*");
    struct quick quick = {.kind = kind};
    size_t compared = literal < 8 ? literal : 8;
    memcpy(&quick.prefix, pattern, compared);
    memset(&quick.mask, 0xff, compared);
    for (const char *at = pattern; *at; at++)
        quick.bytes_min += *at != '*';
    return quick;
}

static bool add_rule(struct interest *interest, struct rule rule, struct quick quick)
{
    struct rule *rules =
        realloc(interest->rules, (interest->rule_count + 1) * sizeof *interest->rules);
    if (rules)
        interest->rules = rules;
    struct quick *quicks =
        realloc(interest->quick, (interest->rule_count + 1) * sizeof *interest->quick);
    if (quicks)
        interest->quick = quicks;
    if (!rules || !quicks)
        return false;
    rules[interest->rule_count] = rule;
    quicks[interest->rule_count] = quick;
    interest->rule_count++;
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
        made = add_rule(interest, rule, quick_of(method ? NAME_PATH : NAME_OPERATION, pattern));
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

static uint64_t length_bit(size_t bytes)
{
    return (uint64_t)1 << (bytes < 63 ? bytes : 63);
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
    list->lengths |= length_bit(strlen(name));
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

bool interest_add_port(struct interest *interest, uint8_t protocol, uint16_t port)
{
    uint32_t *ports = realloc(interest->ports, (interest->port_count + 1) * sizeof *ports);
    if (!ports)
        return false;
    interest->ports = ports;
    ports[interest->port_count++] = (uint32_t)protocol << 16 | port;
    return true;
}

void interest_close(struct interest *interest)
{
    if (!interest)
        return;
    for (size_t i = 0; i < interest->rule_count; i++)
        free_rule(&interest->rules[i]);
    free(interest->rules);
    free(interest->quick);
    free_list(interest->headers.name, interest->headers.count);
    free_list(interest->cookies.name, interest->cookies.count);
    free(interest->ports);
    free(interest);
}

/* RFC 9112 section 3.2: origin, absolute, authority and asterisk form. */
struct slice http_path(struct slice target)
{
    const uint8_t *at = target.data, *end = at + target.bytes;
    if (at < end && *at != '/') {
        const uint8_t *scheme = memmem(at, target.bytes, "://", 3);
        const uint8_t *query = memchr(at, '?', target.bytes);
        if (scheme && (!query || scheme < query)) {
            const uint8_t *slash = memchr(scheme + 3, '/', (size_t)(end - scheme - 3));
            if (!slash || (query && query < slash))
                return (struct slice){(const uint8_t *)"/", 1};
            at = slash;
        }
    }
    const uint8_t *stop = at < end ? memchr(at, '?', (size_t)(end - at)) : NULL;
    return (struct slice){at, (uint32_t)((stop ? stop : end) - at)};
}

/* '*' matches any run of characters. Only the last star needs to be retried, so the work is bounded by
 * the product of the lengths, of which the pattern's is ours. */
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

static bool rule_matches(const struct rule *rule, const struct request_name *name)
{
    if (!rule->method)
        return name->operation.bytes &&
               matches(rule->pattern, rule->pattern_bytes, name->operation);
    bool any = rule->method_bytes == 1 && rule->method[0] == '*';
    if (!any && (rule->method_bytes != name->method.bytes ||
                 memcmp(rule->method, name->method.data, rule->method_bytes) != 0))
        return false;
    return matches(rule->pattern, rule->pattern_bytes, name->path);
}

static uint64_t first_8(struct slice text)
{
    uint64_t word = 0;
    if (text.bytes >= 8)
        memcpy(&word, text.data, 8);
    else if (text.bytes)
        memcpy(&word, text.data, text.bytes);
    return word;
}

int interest_rule(const struct interest *interest, const struct request_name *name, int from)
{
    const uint64_t first[2] = {first_8(name->operation), first_8(name->path)};
    const uint32_t bytes[2] = {name->operation.bytes, name->path.bytes};
    for (size_t i = (size_t)from; i < interest->rule_count; i++) {
        const struct quick *quick = &interest->quick[i];
        if (((first[quick->kind] ^ quick->prefix) & quick->mask) == 0 &&
            bytes[quick->kind] >= quick->bytes_min && rule_matches(&interest->rules[i], name))
            return (int)i;
    }
    return RULE_NONE;
}

unsigned interest_wants(const struct interest *interest, int rule)
{
    return interest->rules[rule].want;
}

bool interest_has_needles(const struct interest *interest, int rule, enum direction direction)
{
    return interest->rules[rule].has[direction].count != 0;
}

bool interest_needle_in(const struct interest *interest, int rule, enum direction direction,
                        struct slice body)
{
    const struct needle_list *list = &interest->rules[rule].has[direction];
    for (size_t i = 0; i < list->count; i++) {
        if (body.bytes && memmem(body.data, body.bytes, list->text[i], strlen(list->text[i])))
            return true;
    }
    return list->count == 0;
}

bool interest_in_operations(const struct interest *interest)
{
    return interest->operations;
}

static bool in_list(const struct name_list *list, const uint8_t *name, uint32_t bytes)
{
    if (!(list->lengths & length_bit(bytes)))
        return false;
    for (size_t i = 0; i < list->count; i++) {
        if (strlen(list->name[i]) == bytes &&
            strncasecmp(list->name[i], (const char *)name, bytes) == 0)
            return true;
    }
    return false;
}

bool interest_is_token_header(const struct interest *interest, const uint8_t *name,
                              uint32_t bytes)
{
    return in_list(&interest->headers, name, bytes);
}

bool interest_is_token_cookie(const struct interest *interest, const uint8_t *name,
                              uint32_t bytes)
{
    return in_list(&interest->cookies, name, bytes);
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
