/* Which response belongs to which request.
 *
 * Responses come in the order of their requests (RFC 9112 section 9.3.2), so a queue decides, as
 * long as nothing is lost. A response is tied to a request when its first byte arrives. After a
 * loss nothing is guessed: a request whose response cannot be told apart is reported without one, a
 * response without a request is counted and dropped. One inference is made: a client that has never
 * sent a request before it had the answer to the last one (hardly any does) has not begun to while
 * we could not see it. */
#include "http1.h"

static void unlink_pending(struct http1 *http1, struct pending *pending)
{
    struct pending *before = NULL;
    for (struct pending *at = http1->first; at && at != pending; at = at->next)
        before = at;
    if (before)
        before->next = pending->next;
    else
        http1->first = pending->next;
    if (http1->last == pending)
        http1->last = before;
    pending->next = NULL;
    http1->queued--;
}

static void report(struct protocol *protocol, struct pending *pending, uint64_t time_ns)
{
    struct http1 *http1 = &protocol->http1;
    if (!pending->abandoned)
        unlink_pending(http1, pending);
    if (http1->receiving == pending)
        http1->receiving = NULL;
    if (http1->answering == pending)
        http1->answering = NULL;
    if (!pending->end_ns)
        pending->end_ns = time_ns;
    if (!pending->response_seen)
        pending->flags |= TRANSACTION_NO_RESPONSE;
    choice_report(&protocol->http, pending);
    pending_close(pending, protocol->shared->budget);
}

static struct pending *first_unanswered(const struct http1 *http1)
{
    struct pending *pending = http1->first;
    while (pending && pending->response_done)
        pending = pending->next;
    return pending;
}

static uint32_t unanswered(const struct http1 *http1)
{
    uint32_t number = 0;
    for (const struct pending *at = first_unanswered(http1); at; at = at->next)
        number++;
    return number;
}

/* Every request that waits for a response is told that it gets none. */
static void abandon(struct protocol *protocol, uint64_t time_ns)
{
    struct http1 *http1 = &protocol->http1;
    for (struct pending *at = first_unanswered(http1), *next; at; at = next) {
        next = at->next;
        at->flags |= TRANSACTION_RESPONSE_GAP;
        if (at->request_done) {
            report(protocol, at, time_ns);
            continue;
        }
        unlink_pending(http1, at);
        at->abandoned = true;
        at->end_ns = time_ns;
    }
}

static void owe(struct http1 *http1, uint32_t responses)
{
    if (http1->owed != OWED_UNKNOWN)
        http1->owed += responses;
}

/* On a client that pipelines: how many of these get a response is unknown. */
static void owe_lost(struct http1 *http1, uint32_t responses)
{
    http1->shedding = false;
    if (responses == OWED_UNKNOWN)
        http1->owed = OWED_UNKNOWN;
    owe(http1, responses);
}

void pair_request_begins(struct protocol *protocol, uint64_t time_ns)
{
    struct http1 *http1 = &protocol->http1;
    struct pending *waiting = first_unanswered(http1);
    if (!waiting)
        return;
    if (http1->side[TO_CLIENT].state != HTTP1_LOST) {
        http1->pipelines = true;
        return;
    }
    /* The answer to the last request lies in what we did not see, unless the client pipelines: then
     * it may as well be still to come. */
    if (http1->pipelines)
        owe_lost(http1, unanswered(http1));
    abandon(protocol, time_ns);
}

void pair_response_begins(struct protocol *protocol, uint64_t time_ns)
{
    struct http1 *http1 = &protocol->http1;
    http1->answering = first_unanswered(http1);
    /* Of a lost request, since it was on its way before this one was sent. Without a loss the order
     * of the streams is right even where the clocks of two captures differ. */
    if (http1->answering && http1->lost_requests && time_ns < http1->answering->request_ns)
        http1->answering = NULL;
}

static void enqueue(struct protocol *protocol, struct pending *pending)
{
    struct http1 *http1 = &protocol->http1;
    bool full = http1->queued >= protocol->shared->limits->http_pipeline_max;
    if (http1->owed || full) {
        if (!http1->owed)
            http1->shedding = true;
        if (http1->shedding)
            count(protocol->shared->counters, COUNT_http_pipeline_shed, 1);
        else
            pending->flags |= TRANSACTION_RESPONSE_GAP;
        pending->abandoned = true;
        owe(http1, 1);
        return;
    }
    if (http1->last)
        http1->last->next = pending;
    else
        http1->first = pending;
    http1->last = pending;
    http1->queued++;
}

void pair_request(struct protocol *protocol, const struct http_head *head, uint64_t start_ns)
{
    struct http1 *http1 = &protocol->http1;
    struct pending *pending = pending_open(protocol->shared->budget, head, start_ns);
    http1->receiving = pending;
    if (!pending) {
        count(protocol->shared->counters, COUNT_memory_shed, 1);
        http1->shedding |= !http1->owed;
        owe(http1, 1);
        return;
    }
    enqueue(protocol, pending);
}

bool pair_response(struct protocol *protocol, const struct http_head *head, uint64_t start_ns)
{
    struct http1 *http1 = &protocol->http1;
    struct pending *pending = http1->answering;
    if (!pending) {
        count(protocol->shared->counters, COUNT_http_unpaired_responses, 1);
        if (http1->owed && http1->owed != OWED_UNKNOWN && !first_unanswered(http1))
            http1->owed--;
        return false;
    }
    pending->status = head->status;
    pending->response_ns = start_ns;
    pending->response_seen = true;
    choice_response(&protocol->http, pending, head);
    return true;
}

void pair_request_done(struct protocol *protocol, uint64_t time_ns)
{
    struct pending *pending = protocol->http1.receiving;
    protocol->http1.receiving = NULL;
    if (!pending)
        return;
    pending->request_done = true;
    choice_request_done(&protocol->http, pending);
    if (pending->abandoned || pending->response_done)
        report(protocol, pending, time_ns);
}

void pair_response_done(struct protocol *protocol, uint64_t time_ns)
{
    struct pending *pending = protocol->http1.answering;
    protocol->http1.answering = NULL;
    if (!pending)
        return;
    pending->response_done = true;
    pending->end_ns = time_ns;
    if (pending->response_body)
        body_end(pending->response_body);
    if (pending->request_done)
        report(protocol, pending, time_ns);
}

void pair_requests_lost(struct protocol *protocol, uint64_t time_ns)
{
    struct http1 *http1 = &protocol->http1;
    http1->lost_requests = true;
    if (http1->receiving) {
        http1->receiving->flags |= TRANSACTION_REQUEST_GAP;
        pair_request_done(protocol, time_ns);
    }
    if (http1->pipelines)
        owe_lost(http1, OWED_UNKNOWN);
    for (struct pending *at = first_unanswered(http1); at; at = at->next)
        at->loss_behind = true;
    /* With both directions lost, the next response may be of a request that is lost as well. */
    if (http1->side[TO_CLIENT].state == HTTP1_LOST)
        abandon(protocol, time_ns);
}

void pair_responses_lost(struct protocol *protocol, uint64_t time_ns)
{
    struct http1 *http1 = &protocol->http1;
    struct pending *damaged = http1->answering;
    http1->answering = NULL;
    if (damaged && damaged->response_seen) {
        damaged->flags |= TRANSACTION_RESPONSE_GAP;
        http1->answering = damaged;
        pair_response_done(protocol, time_ns);
    }
    uint32_t waiting = unanswered(http1);
    /* Of a single one, the next response is the answer; but not of one behind which others were
     * lost. */
    if (waiting > 1 || (waiting == 1 && first_unanswered(http1)->loss_behind)) {
        if (http1->pipelines)
            owe_lost(http1, waiting);
        abandon(protocol, time_ns);
    }
}

struct pending *pair_take(struct protocol *protocol)
{
    struct http1 *http1 = &protocol->http1;
    struct pending *pending = http1->answering;
    if (!pending)
        return NULL;
    unlink_pending(http1, pending);
    http1->answering = NULL;
    if (http1->receiving == pending)
        http1->receiving = NULL;
    return pending;
}

void pair_close(struct protocol *protocol, uint64_t time_ns)
{
    struct http1 *http1 = &protocol->http1;
    pair_request_done(protocol, time_ns);
    while (http1->first) {
        if (http1->side[TO_CLIENT].state == HTTP1_LOST && !http1->first->response_seen)
            http1->first->flags |= TRANSACTION_RESPONSE_GAP;
        report(protocol, http1->first, time_ns);
    }
}
