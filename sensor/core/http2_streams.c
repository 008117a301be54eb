#include "http2_streams.h"

#include <stdlib.h>
#include <string.h>

enum { STREAMS_ROOM_MIN = 4 };

/* Place of the first stream whose id is not below this one. */
static uint32_t place_of(const struct http2_streams *streams, uint32_t id)
{
    uint32_t low = 0, high = streams->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (streams->open[middle].id < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static struct http2_stream *find(const struct http2_streams *streams, uint32_t id)
{
    uint32_t place = place_of(streams, id);
    bool found = place < streams->count && streams->open[place].id == id;
    return found ? &streams->open[place] : NULL;
}

static void report(struct http2_streams *streams, struct http2_stream *stream, uint64_t time_ns)
{
    struct pending *pending = stream->pending;
    uint32_t behind = streams->count - (uint32_t)(stream - streams->open) - 1;
    memmove(stream, stream + 1, behind * sizeof *stream);
    streams->count--;
    if (!pending->end_ns)
        pending->end_ns = time_ns;
    if (!pending->response_seen)
        pending->flags |= TRANSACTION_NO_RESPONSE;
    choice_report(streams->http, pending);
    pending_close(pending, streams->http->shared->budget);
}

/* Reports it if nothing is to come. */
static void request_done(struct http2_streams *streams, struct http2_stream *stream,
                         uint64_t time_ns)
{
    struct pending *pending = stream->pending;
    if (pending->request_done)
        return;
    pending->request_done = true;
    choice_request_done(streams->http, pending);
    if (pending->response_done || pending->abandoned)
        report(streams, stream, time_ns);
}

static void response_done(struct http2_streams *streams, struct http2_stream *stream,
                          uint64_t time_ns)
{
    struct pending *pending = stream->pending;
    if (pending->response_done)
        return;
    pending->response_done = true;
    pending->end_ns = time_ns;
    if (pending->response_body)
        body_end(pending->response_body);
    if (pending->request_done)
        report(streams, stream, time_ns);
}

/* Both sides are over, however far they came. */
static void cut(struct http2_streams *streams, struct http2_stream *stream, uint64_t time_ns)
{
    struct pending *pending = stream->pending;
    if (!pending->response_seen)
        pending->abandoned = true;
    else if (!pending->response_done)
        pending->flags |= TRANSACTION_RESPONSE_CUT;
    /* RFC 9113 section 8.1: a server that has answered in full may stop a client that has not said
     * END_STREAM yet; many have nothing else to say. */
    if (!pending->request_done && (stream->body_begun || !pending->response_done))
        pending->flags |= TRANSACTION_REQUEST_CUT;
    bool asked = pending->request_done, answered = pending->response_seen;
    if (answered)
        response_done(streams, stream, time_ns);
    if (!asked)
        request_done(streams, stream, time_ns);
    else if (!answered)
        report(streams, stream, time_ns);
}

static bool make_room(struct http2_streams *streams)
{
    if (streams->count < streams->room)
        return true;
    struct budget *budget = streams->http->shared->budget;
    uint32_t room = streams->room ? streams->room * 2 : STREAMS_ROOM_MIN;
    size_t more = (room - streams->room) * sizeof *streams->open;
    if (!budget_take(budget, more))
        return false;
    struct http2_stream *open = realloc(streams->open, room * sizeof *open);
    if (!open) {
        budget_give(budget, more);
        return false;
    }
    streams->open = open;
    streams->room = room;
    return true;
}

/* NULL when memory is short. The oldest makes room for one too many: it is reported as it is. */
static struct http2_stream *add(struct http2_streams *streams, uint32_t id,
                                struct pending *pending, uint64_t time_ns)
{
    const struct protocol_shared *shared = streams->http->shared;
    if (streams->count && streams->count >= shared->limits->http2_streams_max) {
        count(shared->counters, COUNT_http2_streams_shed, 1);
        cut(streams, streams->open, time_ns);
    }
    if (!make_room(streams))
        return NULL;
    uint32_t place = place_of(streams, id);
    struct http2_stream *stream = &streams->open[place];
    memmove(stream + 1, stream, (streams->count - place) * sizeof *stream);
    *stream = (struct http2_stream){.pending = pending, .id = id};
    streams->count++;
    return stream;
}

bool streams_want_head(const struct http2_streams *streams, enum direction direction, uint32_t id)
{
    const struct http2_stream *stream = find(streams, id);
    if (direction == TO_SERVER || !stream)
        return (id & 1) && id > streams->last_id;
    return !stream->pending->response_seen;
}

void streams_request(struct http2_streams *streams, uint32_t id, const struct http_head *head,
                     bool tunnel, bool ends, uint64_t start_ns)
{
    struct http_flow *http = streams->http;
    streams->last_id = id;
    if (!head)
        return;
    count(http->shared->counters, COUNT_http_requests, 1);
    struct pending *pending = pending_open(http->shared->budget, head, start_ns);
    struct http2_stream *stream = pending ? add(streams, id, pending, start_ns) : NULL;
    if (!stream) {
        count(http->shared->counters, COUNT_memory_shed, 1);
        pending_close(pending, http->shared->budget);
        return;
    }
    stream->tunnel = tunnel;
    if (streams->lost[TO_CLIENT]) {
        pending->abandoned = true;
        pending->flags |= TRANSACTION_RESPONSE_GAP;
    }
    choice_request(http, pending, head, !ends && !tunnel);
    if (tunnel)
        request_done(streams, stream, start_ns);
}

void streams_adopt(struct http2_streams *streams, uint32_t id, struct pending *pending,
                   uint64_t time_ns)
{
    struct http_flow *http = streams->http;
    streams->last_id = id;
    pending->flags |= TRANSACTION_INTERIM;
    if (add(streams, id, pending, time_ns))
        return;
    count(http->shared->counters, COUNT_memory_shed, 1);
    pending_close(pending, http->shared->budget);
}

/* RFC 9113 section 8.5: from here on the stream carries something else. RFC 8441 section 5: 2xx is
 * what 101 is to an Upgrade. */
static void tunnel_begins(struct http2_streams *streams, struct http2_stream *stream,
                          uint64_t time_ns)
{
    if (!stream->pending->is_connect)
        stream->pending->status = 101;
    response_done(streams, stream, time_ns);
}

void streams_response(struct http2_streams *streams, uint32_t id, const struct http_head *head,
                      uint64_t start_ns, uint64_t time_ns)
{
    struct http_flow *http = streams->http;
    struct http2_stream *stream = find(streams, id);
    if (!head)
        return;
    if (head->status < 200) {
        if (stream)
            stream->pending->flags |= TRANSACTION_INTERIM;
        return;
    }
    count(http->shared->counters, COUNT_http_responses, 1);
    if (!stream) {
        count(http->shared->counters, COUNT_http_unpaired_responses, 1);
        return;
    }
    struct pending *pending = stream->pending;
    pending->status = head->status;
    pending->response_ns = start_ns;
    pending->response_seen = true;
    choice_response(http, pending, head);
    if (stream->tunnel && head->status < 300)
        tunnel_begins(streams, stream, time_ns);
}

void streams_body(struct http2_streams *streams, enum direction direction, uint32_t id,
                  const uint8_t *data, uint32_t bytes)
{
    struct http2_stream *stream = find(streams, id);
    if (!stream)
        return;
    struct pending *pending = stream->pending;
    if (direction == TO_CLIENT) {
        if (pending->response_body && !pending->response_done)
            body_append(pending->response_body, data, bytes);
        return;
    }
    stream->body_begun = true;
    if (!pending->request_done && (pending->scans || pending->request_body))
        choice_request_body(streams->http, pending, data, bytes);
}

void streams_body_gap(struct http2_streams *streams, enum direction direction, uint32_t id)
{
    struct http2_stream *stream = find(streams, id);
    if (!stream)
        return;
    stream->body_begun |= direction == TO_SERVER;
    struct pending *pending = stream->pending;
    struct body *body = direction == TO_SERVER ? pending->request_body : pending->response_body;
    pending->flags |= direction == TO_SERVER ? TRANSACTION_REQUEST_GAP : TRANSACTION_RESPONSE_GAP;
    if (body)
        body_gap(body);
    if (direction == TO_SERVER && !pending->request_done)
        choice_request_gap(streams->http, pending);
}

void streams_message_end(struct http2_streams *streams, enum direction direction, uint32_t id,
                         uint64_t time_ns)
{
    struct http2_stream *stream = find(streams, id);
    if (!stream)
        return;
    if (direction == TO_SERVER)
        request_done(streams, stream, time_ns);
    else if (stream->pending->response_seen)
        response_done(streams, stream, time_ns);
    else
        cut(streams, stream, time_ns);
}

void streams_reset(struct http2_streams *streams, uint32_t id, uint64_t time_ns)
{
    struct http2_stream *stream = find(streams, id);
    if (stream)
        cut(streams, stream, time_ns);
}

void streams_go_away(struct http2_streams *streams, uint32_t last_id, uint64_t time_ns)
{
    uint32_t first = place_of(streams, last_id);
    while (first < streams->count && streams->open[first].id == last_id)
        first++;
    while (first < streams->count)
        cut(streams, &streams->open[first], time_ns);
}

/* Calls `of` for each, which may report it. */
static void for_each(struct http2_streams *streams, uint64_t time_ns,
                     void (*of)(struct http2_streams *, struct http2_stream *, uint64_t))
{
    for (uint32_t i = 0; i < streams->count;) {
        uint32_t had = streams->count;
        of(streams, &streams->open[i], time_ns);
        i += had == streams->count;
    }
}

static void request_lost(struct http2_streams *streams, struct http2_stream *stream,
                         uint64_t time_ns)
{
    if (!stream->pending->request_done)
        stream->pending->flags |= TRANSACTION_REQUEST_GAP;
    request_done(streams, stream, time_ns);
}

static void response_lost(struct http2_streams *streams, struct http2_stream *stream,
                          uint64_t time_ns)
{
    struct pending *pending = stream->pending;
    if (pending->response_done)
        return;
    pending->flags |= TRANSACTION_RESPONSE_GAP;
    if (pending->response_seen) {
        response_done(streams, stream, time_ns);
        return;
    }
    pending->abandoned = true;
    pending->end_ns = time_ns;
    if (pending->request_done)
        report(streams, stream, time_ns);
}

void streams_lost(struct http2_streams *streams, enum direction direction, uint64_t time_ns)
{
    streams->lost[direction] = true;
    for_each(streams, time_ns, direction == TO_SERVER ? request_lost : response_lost);
}

static void request_ended(struct http2_streams *streams, struct http2_stream *stream,
                          uint64_t time_ns)
{
    if (!stream->pending->request_done)
        stream->pending->flags |= TRANSACTION_REQUEST_CUT;
    request_done(streams, stream, time_ns);
}

static void response_ended(struct http2_streams *streams, struct http2_stream *stream,
                           uint64_t time_ns)
{
    struct pending *pending = stream->pending;
    if (!pending->response_seen || pending->response_done)
        return;
    pending->flags |= TRANSACTION_RESPONSE_CUT;
    response_done(streams, stream, time_ns);
}

void streams_ended(struct http2_streams *streams, enum direction direction, uint64_t time_ns)
{
    for_each(streams, time_ns, direction == TO_SERVER ? request_ended : response_ended);
}

void streams_close(struct http2_streams *streams, uint64_t time_ns)
{
    while (streams->count)
        cut(streams, streams->open, time_ns);
    free(streams->open);
    budget_give(streams->http->shared->budget, streams->room * sizeof *streams->open);
}
