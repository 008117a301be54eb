/* Delivery: what is in order goes to the sink, the rest waits in held.c, until its predecessors
 * come or have been waited for long enough.
 *
 * A stream is anchored when we know which byte comes next: from its SYN, from the other side's
 * SYN|ACK, or, of a connection met in the middle, from the lowest byte seen until
 * stream_gap_timeout_ms passed. */
#include "stream.h"

#include "flow.h"
#include "held.h"
#include "hole.h"
#include "sequence.h"

enum {
    /* A second copy lies at most a window behind. No stack's default reaches 64 MiB. */
    WINDOW_BEHIND = 1 << 26,
    /* Held of a stream that is not anchored: some forty segments, more than any reordering. */
    UNANCHORED_BYTES_MAX = 1 << 16,
};

static uint64_t gap_timeout_ns(const struct reassembly *reassembly)
{
    return reassembly->limits->stream_gap_timeout_ms * 1000000;
}

static uint64_t delivery_time(struct tcp *tcp, uint64_t time_ns)
{
    if (time_ns > tcp->delivered_ns)
        tcp->delivered_ns = time_ns;
    return tcp->delivered_ns;
}

static void report_gap(struct reassembly *reassembly, struct flow *flow, enum direction direction,
                       uint32_t bytes, uint64_t time_ns)
{
    count(reassembly->counters, COUNT_tcp_gaps, 1);
    count(reassembly->counters, COUNT_tcp_gap_bytes, bytes);
    reassembly->sink.gap(reassembly->sink.context, flow, direction, bytes,
                         delivery_time(&flow->tcp, time_ns));
}

static void count_unread(struct reassembly *reassembly, struct flow *flow, uint32_t bytes,
                         uint64_t time_ns)
{
    count(reassembly->counters, COUNT_tcp_unread_bytes, bytes);
    delivery_time(&flow->tcp, time_ns);
}

/* The next wire_bytes of the stream, of which the first `bytes` were captured. */
static void pass(struct reassembly *reassembly, struct flow *flow, enum direction direction,
                 const struct segment *segment)
{
    struct stream *stream = &flow->tcp.stream[direction];
    stream->next_sequence += segment->wire_bytes;
    stream->delivered = true;
    stream->fin_guessed = false;
    stream->hole_since_ns = 0;
    if (flow->unread) {
        count_unread(reassembly, flow, segment->wire_bytes, segment->time_ns);
        return;
    }
    if (segment->bytes)
        reassembly->sink.data(reassembly->sink.context, flow, direction, segment->data,
                              segment->bytes, delivery_time(&flow->tcp, segment->time_ns));
    if (segment->wire_bytes > segment->bytes)
        report_gap(reassembly, flow, direction, segment->wire_bytes - segment->bytes,
                   segment->time_ns);
}

static void skip(struct reassembly *reassembly, struct flow *flow, enum direction direction,
                 uint32_t bytes, uint64_t now_ns)
{
    struct stream *stream = &flow->tcp.stream[direction];
    uint64_t since_ns = stream->hole_since_ns ? stream->hole_since_ns : now_ns;
    stream->next_sequence += bytes;
    stream->delivered = true;
    stream->fin_guessed = false;
    stream->hole_since_ns = 0;
    report_gap(reassembly, flow, direction, bytes, since_ns);
}

static void close_direction(struct reassembly *reassembly, struct flow *flow,
                            enum direction direction, uint64_t time_ns)
{
    struct stream *stream = &flow->tcp.stream[direction];
    if (stream->closed)
        return;
    stream->closed = true;
    stream->hole_since_ns = 0;
    held_clear(stream, reassembly->budget);
    reassembly->sink.close(reassembly->sink.context, flow, direction,
                           delivery_time(&flow->tcp, time_ns));
}

static void cut_front(struct segment *segment, uint32_t bytes)
{
    uint32_t captured = bytes < segment->bytes ? bytes : segment->bytes;
    segment->data += captured;
    segment->bytes -= captured;
    segment->wire_bytes -= bytes;
    segment->sequence += bytes;
}

static void cut_to(struct segment *segment, uint32_t bytes)
{
    segment->wire_bytes = bytes;
    if (segment->bytes > bytes)
        segment->bytes = bytes;
}

/* Whether the sender had received what we have not delivered of the other direction, or may have,
 * where the other side's SYN is still awaited. Remembered, so that somebody waits for it. */
static bool must_wait(struct tcp *tcp, enum direction direction, bool acknowledges,
                      uint32_t acknowledgement)
{
    struct stream *other = &tcp->stream[!direction];
    if (!acknowledges)
        return false;
    if (!tcp->settled && !other->anchored)
        return true;
    if (!sequence_lacks(other, acknowledgement))
        return false;
    sequence_acknowledged(other, acknowledgement);
    return true;
}

/* The first held segment, from where the stream is, at most `most` bytes. */
static void pass_held(struct reassembly *reassembly, struct flow *flow, enum direction direction,
                      uint32_t most)
{
    struct stream *stream = &flow->tcp.stream[direction];
    struct segment segment = held_as_segment(held_first(stream));
    cut_front(&segment, stream->next_sequence - segment.sequence);
    if (segment.wire_bytes > most)
        cut_to(&segment, most);
    pass(reassembly, flow, direction, &segment);
}

/* Delivers what of one direction is in order now; whether anything was. */
static bool drain(struct reassembly *reassembly, struct flow *flow, enum direction direction)
{
    struct tcp *tcp = &flow->tcp;
    struct stream *stream = &tcp->stream[direction];
    bool moved = false;
    if (!stream->anchored || stream->closed)
        return false;
    for (const struct held_segment *held; (held = held_first(stream)); moved = true) {
        if (sequence_ahead(held_end(held), stream->next_sequence) <= 0) {
            held_drop_first(stream, reassembly->budget);
            continue;
        }
        if (sequence_ahead(held->sequence, stream->next_sequence) > 0 ||
            must_wait(tcp, direction, held->acknowledges, held->acknowledgement))
            break;
        pass_held(reassembly, flow, direction, UINT32_MAX);
    }
    if (stream->fin_seen && sequence_ahead(stream->next_sequence, stream->fin_sequence) >= 0 &&
        !must_wait(tcp, direction, stream->fin_acknowledges, stream->fin_acknowledgement)) {
        close_direction(reassembly, flow, direction, stream->fin_ns);
        moved = true;
    }
    return moved;
}

static void settle(struct tcp *tcp)
{
    tcp->settled = true;
    for (int direction = TO_SERVER; direction <= TO_CLIENT; direction++) {
        struct stream *stream = &tcp->stream[direction];
        if (!stream->started || stream->anchored)
            continue;
        stream->anchored = true;
        stream->hole_since_ns = 0;
        const struct held_segment *held = held_first(stream);
        if (held && held->wire_bytes == 1) /* a keep-alive probe: its byte is garbage */
            stream->next_sequence++;
    }
}

/* Each side waits for the other, because each acknowledges the other's next byte. One of the two
 * copies is a retransmission, most likely the one captured later; so its bytes were sent before
 * those of the other, as far as that one acknowledges them. */
static void pass_disputed(struct reassembly *reassembly, struct flow *flow)
{
    struct tcp *tcp = &flow->tcp;
    const struct held_segment *to_server = held_first(&tcp->stream[TO_SERVER]);
    const struct held_segment *to_client = held_first(&tcp->stream[TO_CLIENT]);
    bool server_first = to_client->time_ns > to_server->time_ns;
    enum direction direction = server_first ? TO_CLIENT : TO_SERVER;
    uint32_t acknowledgement = (server_first ? to_server : to_client)->acknowledgement;
    uint32_t most = UINT32_MAX;
    if (sequence_lacks(&tcp->stream[direction], acknowledgement))
        most = acknowledgement - tcp->stream[direction].next_sequence;
    pass_held(reassembly, flow, direction, most);
}

/* Waiting is over: the stream goes on behind its first hole. Returns the bytes given up. */
static uint32_t give_up(struct reassembly *reassembly, struct flow *flow,
                        enum direction direction, uint64_t now_ns)
{
    struct stream *stream = &flow->tcp.stream[direction];
    if (!flow->tcp.settled || !stream->anchored) {
        settle(&flow->tcp);
        return 0;
    }
    if (hole_waits_for_other(stream)) {
        if (!hole_waits_for_other(&flow->tcp.stream[!direction]))
            return give_up(reassembly, flow, !direction, now_ns);
        pass_disputed(reassembly, flow);
        return 0;
    }
    int64_t bytes = hole_bytes(stream);
    if (bytes == HOLE_NONE)
        return 0;
    if (bytes == 1 && !held_first(stream) && !stream->fin_seen) {
        stream->fin_guessed = true; /* a FIN that was not captured, more likely than a byte */
        stream->hole_since_ns = 0;
        return 0;
    }
    skip(reassembly, flow, direction, (uint32_t)bytes, now_ns);
    if (!stream->seen)
        stream->absent = true;
    return (uint32_t)bytes;
}

static void drain_both(struct reassembly *reassembly, struct flow *flow)
{
    bool moved;
    do {
        moved = drain(reassembly, flow, TO_SERVER);
        moved |= drain(reassembly, flow, TO_CLIENT);
    } while (moved);
}

static void note_waiting(struct reassembly *reassembly, struct tcp *tcp, uint64_t now_ns)
{
    const struct stream *resetting = &tcp->stream[tcp->reset_direction];
    if (resetting->anchored && !resetting->closed &&
        sequence_ahead(resetting->next_sequence, tcp->reset_sequence) > 0)
        tcp->reset_seen = false; /* the connection lives on: RFC 5961 section 3.2 */
    if (tcp->stream[TO_SERVER].closed && tcp->stream[TO_CLIENT].closed)
        tcp->reset_seen = false;
    tcp->waiting = tcp->reset_seen;
    for (int direction = TO_SERVER; direction <= TO_CLIENT; direction++) {
        struct stream *stream = &tcp->stream[direction];
        const struct held_segment *held = held_first(stream);
        uint64_t since_ns = held ? held->time_ns : now_ns;
        if (!hole_exists(tcp, direction))
            stream->hole_since_ns = 0;
        else if (stream->hole_since_ns == 0)
            stream->hole_since_ns = since_ns ? since_ns : 1; /* 0 means that there is none */
        if (held || stream->hole_since_ns)
            tcp->waiting = true;
        else if (stream->held)
            held_clear(stream, reassembly->budget);
    }
}

static void progress(struct reassembly *reassembly, struct flow *flow, uint64_t now_ns)
{
    drain_both(reassembly, flow);
    note_waiting(reassembly, &flow->tcp, now_ns);
}

/* Makes sure the stream has begun, at this sequence number if it has not. */
static void meet(struct reassembly *reassembly, struct flow *flow, struct stream *stream,
                 uint32_t sequence, uint64_t time_ns)
{
    struct tcp *tcp = &flow->tcp;
    if (stream->anchored)
        return;
    if (!tcp->settled && time_ns > flow->first_ns &&
        time_ns - flow->first_ns >= gap_timeout_ns(reassembly))
        settle(tcp);
    if (stream->anchored)
        return;
    if (tcp->settled) {
        sequence_begin(stream, sequence);
        return;
    }
    int32_t ahead = sequence_ahead(sequence, stream->next_sequence);
    if (!stream->started || (ahead < 0 && ahead > -WINDOW_BEHIND))
        stream->next_sequence = sequence;
    stream->started = true;
}

/* No window reaches from where the stream is to this segment. Bytes of another connection; unless
 * nothing else came for long, as after an outage of the capture. */
static bool resynchronise(struct reassembly *reassembly, struct flow *flow,
                          enum direction direction, const struct segment *segment)
{
    struct tcp *tcp = &flow->tcp;
    struct stream *stream = &tcp->stream[direction];
    if (!stream->anchored)
        return false;
    if (!stream->delivered && !tcp->settled) { /* a SYN that nobody answered does not bind */
        held_clear(stream, reassembly->budget);
        stream->anchored = stream->started = false;
        meet(reassembly, flow, stream, segment->sequence, segment->time_ns);
        return true;
    }
    if (held_first(stream) || segment->time_ns < tcp->delivered_ns ||
        segment->time_ns - tcp->delivered_ns < gap_timeout_ns(reassembly))
        return false;
    skip(reassembly, flow, direction, segment->sequence - stream->next_sequence, segment->time_ns);
    return true;
}

static bool in_window(const struct stream *stream, uint32_t sequence)
{
    int32_t ahead = sequence_ahead(sequence, stream->next_sequence);
    return ahead > -WINDOW_BEHIND && ahead < SEQUENCE_WINDOW_AHEAD;
}

/* Cuts off what was delivered before and what lies beyond the FIN; false when nothing is left. */
static bool trim(struct reassembly *reassembly, const struct stream *stream,
                 struct segment *segment)
{
    if (stream->closed)
        return false;
    int32_t old = sequence_ahead(stream->next_sequence, segment->sequence);
    if (stream->anchored && old > 0) {
        bool keep_alive = old == 1 && segment->wire_bytes == 1; /* RFC 9293 section 3.8.4 */
        uint32_t again = (uint32_t)old < segment->wire_bytes ? (uint32_t)old : segment->wire_bytes;
        if (!keep_alive)
            count(reassembly->counters, COUNT_tcp_retransmitted_bytes, again);
        cut_front(segment, again);
    }
    if (stream->fin_seen) {
        int32_t room = sequence_ahead(stream->fin_sequence, segment->sequence);
        if (room < 0 || (uint32_t)room < segment->wire_bytes)
            cut_to(segment, room < 0 ? 0 : (uint32_t)room);
    }
    return segment->wire_bytes > 0;
}

static bool hold(struct reassembly *reassembly, struct stream *stream,
                 const struct segment *segment)
{
    uint64_t most = reassembly->limits->stream_buffer_bytes_max;
    if (!stream->anchored && most > UNANCHORED_BYTES_MAX)
        most = UNANCHORED_BYTES_MAX;
    if (stream->held_bytes + held_cost(segment->bytes) > most)
        return false;
    if (!held_insert(stream, segment, reassembly->budget, reassembly->counters)) {
        count(reassembly->counters, COUNT_memory_shed, 1);
        return false;
    }
    return true;
}

/* There is no room to hold this segment: gives up one of the things that it waits for. */
static void make_way(struct reassembly *reassembly, struct flow *flow, enum direction direction,
                     const struct segment *segment)
{
    struct tcp *tcp = &flow->tcp;
    struct stream *stream = &tcp->stream[direction];
    const struct held_segment *held = held_first(stream);
    int32_t ahead = sequence_ahead(segment->sequence, stream->next_sequence);
    uint32_t shed = 0;
    if (!tcp->settled || !stream->anchored) {
        settle(tcp);
    } else if (held && sequence_ahead(held->sequence, segment->sequence) <= 0) {
        shed = give_up(reassembly, flow, direction, segment->time_ns);
    } else if (ahead > 0) {
        shed = (uint32_t)ahead;
        skip(reassembly, flow, direction, shed, segment->time_ns);
    } else {
        shed = give_up(reassembly, flow, !direction, segment->time_ns);
    }
    count(reassembly->counters, COUNT_tcp_buffer_shed_bytes, shed);
    drain_both(reassembly, flow);
}

/* Delivers the segment up to the first byte that is held already; or, where its first bytes are,
 * their held copy, which waited for more than this one needs. */
static void pass_run(struct reassembly *reassembly, struct flow *flow, enum direction direction,
                     struct segment *segment)
{
    struct stream *stream = &flow->tcp.stream[direction];
    const struct held_segment *held = held_first(stream);
    struct segment run = *segment;
    if (hole_waits_for_other(stream)) {
        run = held_as_segment(held);
        cut_front(&run, stream->next_sequence - held->sequence);
        if (run.wire_bytes > segment->wire_bytes)
            cut_to(&run, segment->wire_bytes);
        count(reassembly->counters, COUNT_tcp_retransmitted_bytes, run.wire_bytes);
    } else if (held && held->sequence - segment->sequence < segment->wire_bytes) {
        cut_to(&run, held->sequence - segment->sequence);
    }
    pass(reassembly, flow, direction, &run);
    cut_front(segment, run.wire_bytes);
    drain(reassembly, flow, direction);
}

static void accept_payload(struct reassembly *reassembly, struct flow *flow,
                           enum direction direction, struct segment *segment)
{
    struct tcp *tcp = &flow->tcp;
    struct stream *stream = &tcp->stream[direction];
    if (stream->closed)
        return;
    meet(reassembly, flow, stream, segment->sequence, segment->time_ns);
    if (!in_window(stream, segment->sequence) &&
        !resynchronise(reassembly, flow, direction, segment))
        return;
    if (held_conflicts(stream, segment))
        count(reassembly->counters, COUNT_tcp_overlap_conflicts, 1);
    if (stream->anchored && sequence_ahead(segment->sequence, stream->next_sequence) > 0)
        count(reassembly->counters, COUNT_tcp_out_of_order, 1);
    while (trim(reassembly, stream, segment)) {
        if (stream->anchored && segment->sequence == stream->next_sequence &&
            !must_wait(tcp, direction, segment->acknowledges, segment->acknowledgement))
            pass_run(reassembly, flow, direction, segment);
        else if (hold(reassembly, stream, segment))
            return;
        else
            make_way(reassembly, flow, direction, segment);
    }
}

static void note_fin(struct reassembly *reassembly, struct flow *flow, struct stream *stream,
                     const struct segment *segment)
{
    uint32_t end = segment->sequence + segment->wire_bytes;
    if (stream->fin_seen || stream->closed)
        return;
    meet(reassembly, flow, stream, segment->sequence, segment->time_ns);
    if (!in_window(stream, end) ||
        (stream->anchored && sequence_ahead(end, stream->next_sequence) < 0))
        return;
    stream->fin_seen = true;
    stream->fin_sequence = end;
    stream->fin_acknowledges = segment->acknowledges;
    stream->fin_acknowledgement = segment->acknowledgement;
    stream->fin_ns = segment->time_ns;
}

/* The other side has received what comes before `sequence`. */
static void acknowledge(struct reassembly *reassembly, struct flow *flow, enum direction direction,
                        uint32_t sequence, uint64_t time_ns)
{
    struct stream *stream = &flow->tcp.stream[direction];
    sequence_acknowledged(stream, sequence);
    while (stream->absent && sequence_lacks(stream, sequence))
        give_up(reassembly, flow, direction, time_ns);
}

/* Whatever is not the plain next segment of a connection where nothing waits. */
static void segment_out_of_line(struct reassembly *reassembly, struct flow *flow,
                                enum direction direction, const struct datagram *datagram,
                                uint64_t time_ns)
{
    struct tcp *tcp = &flow->tcp;
    struct stream *stream = &tcp->stream[direction];
    uint8_t flags = datagram->tcp_flags;
    struct segment segment = {
        .data = datagram->payload,
        .sequence = datagram->tcp_sequence,
        .bytes = datagram->payload_bytes,
        .wire_bytes = datagram->payload_wire_bytes,
        .acknowledgement = datagram->tcp_acknowledgement,
        .acknowledges = flags & TCP_ACK,
        .time_ns = time_ns,
    };
    if (tcp->stream[TO_SERVER].closed && tcp->stream[TO_CLIENT].closed)
        return;
    if (flags & TCP_SYN) {
        if (!sequence_syn(tcp, direction, datagram))
            return;
        segment.sequence++; /* the SYN has a number of its own */
    }
    if (segment.acknowledges)
        acknowledge(reassembly, flow, !direction, segment.acknowledgement, time_ns);
    if (flags & TCP_RST) {
        if (sequence_refused(tcp, direction, datagram)) {
            tcp_finish(reassembly, flow, time_ns);
            return;
        }
        sequence_reset(tcp, direction, segment.sequence, time_ns);
    } else {
        if (flags & TCP_FIN)
            note_fin(reassembly, flow, stream, &segment);
        if (segment.wire_bytes)
            accept_payload(reassembly, flow, direction, &segment);
    }
    progress(reassembly, flow, time_ns);
}

static bool is_plain_next(const struct flow *flow, const struct stream *stream,
                          const struct stream *other, const struct datagram *datagram)
{
    return !flow->tcp.waiting && stream->anchored && !stream->closed &&
           (datagram->tcp_flags & (TCP_SYN | TCP_FIN | TCP_RST | TCP_ACK)) == TCP_ACK &&
           datagram->tcp_sequence == stream->next_sequence &&
           (datagram->payload_bytes == datagram->payload_wire_bytes || flow->unread) &&
           other->anchored &&
           (other->closed ||
            sequence_ahead(datagram->tcp_acknowledgement, other->next_sequence) <= 0);
}

void tcp_segment(struct reassembly *reassembly, struct flow *flow, enum direction direction,
                 const struct datagram *datagram, uint64_t time_ns)
{
    struct stream *stream = &flow->tcp.stream[direction];
    count(reassembly->counters, COUNT_tcp_segments, 1);
    stream->seen = true;
    stream->absent = false;
    if (!is_plain_next(flow, stream, &flow->tcp.stream[!direction], datagram)) {
        segment_out_of_line(reassembly, flow, direction, datagram, time_ns);
        return;
    }
    if (datagram->payload_wire_bytes == 0)
        return;
    stream->next_sequence += datagram->payload_wire_bytes;
    stream->delivered = true;
    if (flow->unread) {
        count_unread(reassembly, flow, datagram->payload_wire_bytes, time_ns);
        return;
    }
    reassembly->sink.data(reassembly->sink.context, flow, direction, datagram->payload,
                          datagram->payload_bytes, delivery_time(&flow->tcp, time_ns));
}

uint64_t tcp_waiting_since(const struct tcp *tcp)
{
    uint64_t since_ns = tcp->reset_seen ? tcp->reset_ns : UINT64_MAX;
    for (int direction = TO_SERVER; direction <= TO_CLIENT; direction++) {
        uint64_t hole_ns = tcp->stream[direction].hole_since_ns;
        if (hole_ns && hole_ns < since_ns)
            since_ns = hole_ns;
    }
    return since_ns;
}

bool tcp_advance(struct reassembly *reassembly, struct flow *flow, uint64_t time_ns)
{
    struct tcp *tcp = &flow->tcp;
    uint64_t timeout_ns = gap_timeout_ns(reassembly);
    for (;;) {
        uint64_t since_ns = tcp_waiting_since(tcp);
        if (time_ns < since_ns || time_ns - since_ns < timeout_ns)
            return tcp->waiting;
        if (tcp->reset_seen && since_ns == tcp->reset_ns) {
            tcp_finish(reassembly, flow, time_ns);
            return false;
        }
        give_up(reassembly, flow, hole_oldest(tcp), time_ns);
        progress(reassembly, flow, time_ns);
    }
}

/* Bytes that a RST says were sent, and nobody saw. */
static void skip_to_reset(struct reassembly *reassembly, struct flow *flow, uint64_t now_ns)
{
    struct tcp *tcp = &flow->tcp;
    enum direction direction = tcp->reset_direction;
    const struct stream *stream = &tcp->stream[direction];
    int32_t ahead = sequence_ahead(tcp->reset_sequence, stream->next_sequence);
    if (tcp->reset_seen && !stream->closed && stream->anchored && ahead > 0)
        skip(reassembly, flow, direction, (uint32_t)ahead, now_ns);
}

void tcp_finish(struct reassembly *reassembly, struct flow *flow, uint64_t time_ns)
{
    struct tcp *tcp = &flow->tcp;
    progress(reassembly, flow, time_ns);
    while (tcp->stream[TO_SERVER].hole_since_ns || tcp->stream[TO_CLIENT].hole_since_ns) {
        give_up(reassembly, flow, hole_oldest(tcp), time_ns);
        progress(reassembly, flow, time_ns);
    }
    skip_to_reset(reassembly, flow, tcp->reset_ns);
    for (int direction = TO_SERVER; direction <= TO_CLIENT; direction++) {
        close_direction(reassembly, flow, direction, time_ns);
        held_clear(&tcp->stream[direction], reassembly->budget);
    }
    tcp->reset_seen = tcp->waiting = false;
}
