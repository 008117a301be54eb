/* What is kept of a transaction, whether it is handed up, and its count. Bodies that no rule asks
 * for are never copied; a SOAP body is looked at where it lies, and kept only while its operation
 * is undecided. */
#include "choice.h"

#include <stdlib.h>
#include <string.h>

#include "flow.h"
#include "hash64.h"
#include "http_path.h"
#include "objects.h"

static struct slice kept_slice(const struct body *body)
{
    return body ? (struct slice){body->kept.data, body->kept.bytes} : (struct slice){0};
}

static bool wants_body(const struct interest *interest, uint16_t rule, enum direction direction)
{
    unsigned body = direction == TO_SERVER ? WANT_REQUEST_BODY : WANT_RESPONSE_BODY;
    unsigned compared = WANT_CHANGED_ONLY | (direction == TO_CLIENT ? WANT_NEW_OBJECTS : 0);
    return (interest_wants(interest, rule) & (body | compared)) ||
           interest_has_needles(interest, rule, direction);
}

static bool any_wants_body(const struct interest *interest, const struct matching_rules *rules,
                           enum direction direction)
{
    for (uint8_t i = 0; i < rules->count; i++) {
        if (wants_body(interest, rules->rule[i], direction))
            return true;
    }
    return false;
}

static void match(const struct http_flow *http, const struct pending *pending,
                  struct matching_rules *rules)
{
    struct request_name name = {pending->method, http_path(pending->target), pending->operation};
    interest_match(http->shared->interest, &name, rules);
}

/* Leaves the rules that the status allows. */
static void narrow_by_status(const struct interest *interest, struct matching_rules *rules,
                             uint16_t status)
{
    uint8_t left = 0;
    for (uint8_t i = 0; i < rules->count; i++) {
        if (status >= 400 || !(interest_wants(interest, rules->rule[i]) & WANT_FAILED_ONLY))
            rules->rule[left++] = rules->rule[i];
    }
    rules->count = left;
}

static void narrow_by_request(const struct interest *interest, struct matching_rules *rules,
                              struct slice body)
{
    uint8_t left = 0;
    for (uint8_t i = 0; i < rules->count; i++) {
        if (interest_needle_in(interest, rules->rule[i], TO_SERVER, body))
            rules->rule[left++] = rules->rule[i];
    }
    rules->count = left;
}

static bool open_body(struct http_flow *http, struct body **slot, const struct codings *codings,
                      uint64_t expected_bytes)
{
    const struct protocol_shared *shared = http->shared;
    struct body *body = NULL;
    if (budget_take(shared->budget, sizeof *body)) {
        body = malloc(sizeof *body);
        if (!body)
            budget_give(shared->budget, sizeof *body);
    }
    *slot = body;
    if (!body) {
        count(shared->counters, COUNT_memory_shed, 1);
        return false;
    }
    body_open(body, codings, shared->limits->http_body_bytes_max, shared->budget, shared->counters);
    body_expect(body, expected_bytes);
    return true;
}

static void drop_body(struct http_flow *http, struct body **body)
{
    if (!*body)
        return;
    body_free(*body);
    free(*body);
    budget_give(http->shared->budget, sizeof **body);
    *body = NULL;
}

/* RFC 9110 section 8.4: codings of the content first, then those of the transfer. */
static struct codings codings_of(const struct http_head *head)
{
    struct codings all = head->content;
    for (uint8_t i = 0; i < head->transfer.count; i++) {
        if (all.count < CODINGS_MAX)
            all.coding[all.count++] = head->transfer.coding[i];
        else
            all.coding[CODINGS_MAX - 1] = CODING_OTHER;
    }
    return all;
}

static void note_tokens(struct http_flow *http, struct pending *pending,
                        const struct http_head *head)
{
    const struct protocol_shared *shared = http->shared;
    uint64_t limit = shared->limits->http_tokens_per_flow_max;
    bool new = head->more_tokens;
    for (uint8_t i = 0; i < head->token_count && limit; i++)
        new |= tokens_note(&http->tokens, shared->budget, limit, head->token[i]);
    if (new)
        pending->flags |= TRANSACTION_NEW_TOKEN;
}

/* The request is named: which rules may want it, and so whether its body is kept. */
static bool choose(struct http_flow *http, struct pending *pending)
{
    const struct interest *interest = http->shared->interest;
    pending->scans = false;
    match(http, pending, &pending->rules);
    if (pending->response_seen)
        narrow_by_status(interest, &pending->rules, pending->status);
    return any_wants_body(interest, &pending->rules, TO_SERVER);
}

void choice_request(struct http_flow *http, struct pending *pending,
                    const struct http_head *head, bool has_body)
{
    note_tokens(http, pending, head);
    struct codings codings = codings_of(head);
    bool post = pending->method.bytes == 4 && memcmp(pending->method.data, "POST", 4) == 0;
    pending->scans = has_body && post && (head->soap || codings.count == 0);
    bool keep = pending->scans ? codings.count != 0 : choose(http, pending) && has_body;
    if (keep && !open_body(http, &pending->request_body, &codings, head->length))
        pending->flags |= TRANSACTION_REQUEST_CUT;
}

static struct slice copy_name(uint8_t **to, const uint8_t *body, struct soap_span span)
{
    if (!span.bytes)
        return (struct slice){0};
    memcpy(*to, body + span.at, span.bytes);
    struct slice name = {*to, span.bytes};
    *to += span.bytes;
    return name;
}

/* Copies what the scan found out of the body, which may not stay. */
static void copy_names(struct http_flow *http, struct pending *pending, const uint8_t *body)
{
    const struct soap_scan *soap = &pending->soap;
    uint32_t bytes = soap->operation.bytes + soap->this_type.bytes + soap->this_id.bytes +
                     soap->operation_id.bytes;
    uint8_t *to = pending->text + pending->text_bytes;
    if (bytes <= pending->text_room - pending->text_bytes) {
        pending->text_bytes += bytes;
    } else {
        uint8_t room[4 * SOAP_TEXT_BYTES_MAX] = {0};
        if (!kept_append(&pending->names, http->shared->budget, room, bytes)) {
            count(http->shared->counters, COUNT_memory_shed, 1);
            return;
        }
        to = pending->names.data;
    }
    pending->operation = copy_name(&to, body, soap->operation);
    pending->this_type = copy_name(&to, body, soap->this_type);
    pending->this_id = copy_name(&to, body, soap->this_id);
    pending->operation_id = copy_name(&to, body, soap->operation_id);
}

/* The scan is over, with or without an operation. Returns whether the body is to be kept. */
static bool named(struct http_flow *http, struct pending *pending, const uint8_t *body,
                  bool found)
{
    if (found) {
        copy_names(http, pending, body);
        pending->body_from = pending->soap.operation_at;
    }
    return choose(http, pending);
}

void choice_request_body(struct http_flow *http, struct pending *pending, const uint8_t *data,
                         uint32_t bytes)
{
    static const struct codings none;
    if (pending->request_body)
        body_append(pending->request_body, data, bytes);
    if (!pending->scans)
        return;
    struct slice body = {data, bytes};
    if (pending->request_body)
        body = kept_slice(pending->request_body);
    enum soap_verdict verdict = body.bytes ? soap_scan(&pending->soap, body.data, body.bytes)
                                           : SOAP_MORE;
    bool keep = true;
    if (verdict != SOAP_MORE)
        keep = named(http, pending, body.data, verdict == SOAP_FOUND);
    if (!keep)
        drop_body(http, &pending->request_body);
    if (!keep || pending->request_body)
        return;
    if (open_body(http, &pending->request_body, &none, bytes)) {
        body_append(pending->request_body, data, bytes);
        return;
    }
    pending->flags |= TRANSACTION_REQUEST_CUT;
    if (pending->scans)
        named(http, pending, NULL, false);
}

void choice_request_gap(struct http_flow *http, struct pending *pending)
{
    const struct body *body = pending->request_body;
    if (pending->scans && !named(http, pending, body ? body->kept.data : NULL,
                                 pending->soap.operation.bytes != 0))
        drop_body(http, &pending->request_body);
}

void choice_request_done(struct http_flow *http, struct pending *pending)
{
    if (pending->request_body)
        body_end(pending->request_body);
    choice_request_gap(http, pending);
    narrow_by_request(http->shared->interest, &pending->rules,
                      kept_slice(pending->request_body));
    if (!pending->rules.count) {
        drop_body(http, &pending->request_body);
        drop_body(http, &pending->response_body);
    }
}

void choice_response(struct http_flow *http, struct pending *pending,
                     const struct http_head *head)
{
    const struct interest *interest = http->shared->interest;
    struct codings codings = codings_of(head);
    /* An early response, of a request that is not yet known, may be to any operation. */
    bool any = pending->scans && interest_in_operations(interest);
    struct matching_rules rules;
    note_tokens(http, pending, head);
    narrow_by_status(interest, &pending->rules, pending->status);
    rules = pending->rules;
    if (pending->scans)
        match(http, pending, &rules);
    if ((any || any_wants_body(interest, &rules, TO_CLIENT)) &&
        !open_body(http, &pending->response_body, &codings,
                   pending->is_head ? 0 : head->length))
        pending->flags |= TRANSACTION_RESPONSE_CUT;
    bool candidate = any || rules.count || (pending->flags & TRANSACTION_NEW_TOKEN);
    if (candidate && !kept_append(&pending->response_head, http->shared->budget,
                                  head->lines.data, head->lines.bytes))
        count(http->shared->counters, COUNT_memory_shed, 1);
}

/* What makes an answer the same as one before: server, method, target, status, the request body
 * from the operation's element on (the SOAP header holds an operationID that differs in every
 * call), the response body. */
static uint64_t content_hash(const struct http_flow *http, const struct pending *pending)
{
    struct slice request = kept_slice(pending->request_body);
    struct slice response = kept_slice(pending->response_body);
    uint32_t from = pending->body_from < request.bytes ? pending->body_from : 0;
    uint64_t hash = hash64(pending->status, http->flow->address[TO_SERVER], ADDRESS_BYTES);
    hash = hash64(hash, pending->method.data, pending->method.bytes);
    hash = hash64(hash, pending->target.data, pending->target.bytes);
    if (request.bytes)
        hash = hash64(hash, request.data + from, request.bytes - from);
    if (response.bytes)
        hash = hash64(hash, response.data, response.bytes);
    return hash;
}

/* The first rule that the whole transaction satisfies; -1: none. */
static int satisfied_rule(struct http_flow *http, const struct pending *pending)
{
    const struct interest *interest = http->shared->interest;
    struct slice response = kept_slice(pending->response_body);
    for (uint8_t i = 0; i < pending->rules.count; i++) {
        uint16_t rule = pending->rules.rule[i];
        if (!interest_needle_in(interest, rule, TO_CLIENT, response))
            continue;
        unsigned want = interest_wants(interest, rule);
        if ((want & WANT_CHANGED_ONLY) &&
            !changes_is_new(http->shared->changes, content_hash(http, pending)))
            continue;
        if ((want & WANT_NEW_OBJECTS) &&
            !objects_are_new(interest, http->shared->changes,
                             http->flow->address[TO_SERVER], response))
            continue;
        return rule;
    }
    return -1;
}

static void hand_up(struct http_flow *http, const struct pending *pending, unsigned want)
{
    const struct body *request = pending->request_body, *response = pending->response_body;
    struct transaction transaction = {
        .request_ns = pending->request_ns,
        .response_ns = pending->response_ns,
        .end_ns = pending->end_ns,
        .status = pending->status,
        .flags = pending->flags | http->flags,
        .method = pending->method,
        .target = pending->target,
        .request_head = pending->request_head,
        .response_head = {pending->response_head.data, pending->response_head.bytes},
        .operation = pending->operation,
        .this_type = pending->this_type,
        .this_id = pending->this_id,
        .operation_id = pending->operation_id,
    };
    if (want & WANT_REQUEST_BODY)
        transaction.request_body = kept_slice(request);
    if (want & WANT_RESPONSE_BODY)
        transaction.response_body = kept_slice(response);
    if (request && request->cut)
        transaction.flags |= TRANSACTION_REQUEST_CUT;
    if (response && response->cut)
        transaction.flags |= TRANSACTION_RESPONSE_CUT;
    count(http->shared->counters, COUNT_http_transactions_handed_up, 1);
    const struct protocol_sink *sink = &http->shared->sink;
    sink->transaction(sink->context, http->flow, &transaction);
}

void choice_report(struct http_flow *http, struct pending *pending)
{
    const struct protocol_shared *shared = http->shared;
    enum outcome outcome = pending->status == 0     ? OUTCOME_UNKNOWN
                           : pending->status >= 400 ? OUTCOME_FAILURE
                                                    : OUTCOME_SUCCESS;
    count(shared->counters, COUNT_http_transactions, 1);
    operations_count(shared->operations, pending->target,
                     pending->operation.bytes ? pending->operation : pending->method, outcome);
    int rule = satisfied_rule(http, pending);
    if (rule >= 0)
        hand_up(http, pending, interest_wants(shared->interest, (uint16_t)rule));
    else if (pending->flags & TRANSACTION_NEW_TOKEN)
        hand_up(http, pending, 0);
}
