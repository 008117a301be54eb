#include "sequence.h"

void sequence_acknowledged(struct stream *stream, uint32_t acknowledgement)
{
    bool higher = sequence_ahead(acknowledgement, stream->acknowledged) > 0;
    if (stream->anchored) {
        if (!sequence_lacks(stream, acknowledgement))
            return;
        higher = higher || !sequence_lacks(stream, stream->acknowledged);
    }
    if (higher || !stream->acknowledged_seen)
        stream->acknowledged = acknowledgement;
    stream->acknowledged_seen = true;
}

void sequence_begin(struct stream *stream, uint32_t sequence)
{
    int32_t missed = sequence_ahead(sequence, stream->acknowledged);
    bool believed = stream->acknowledged_seen && missed > 0 && missed < SEQUENCE_BELIEF;
    stream->next_sequence = believed ? stream->acknowledged : sequence;
    stream->started = stream->anchored = true;
}

static void anchor(struct stream *stream, uint32_t sequence)
{
    int32_t fin_ahead = sequence_ahead(stream->fin_sequence, sequence);
    if (fin_ahead < 0 || fin_ahead >= SEQUENCE_WINDOW_AHEAD)
        stream->fin_seen = false; /* of a connection before */
    stream->next_sequence = sequence;
    stream->started = stream->anchored = true;
    stream->hole_since_ns = 0;
}

bool sequence_syn(struct tcp *tcp, enum direction direction, const struct datagram *datagram)
{
    struct stream *stream = &tcp->stream[direction], *other = &tcp->stream[!direction];
    uint32_t first = datagram->tcp_sequence + 1;
    bool again = stream->syn_seen && stream->initial_sequence == datagram->tcp_sequence;
    if (!again) {
        int32_t gone = sequence_ahead(stream->next_sequence, first);
        bool late = !stream->syn_seen && gone >= 0 && gone < SEQUENCE_WINDOW_AHEAD;
        if (stream->closed || (stream->delivered && !late))
            return false;
        if (!stream->delivered) /* a server's second answer too, with another number */
            anchor(stream, first);
        stream->initial_sequence = datagram->tcp_sequence;
        stream->syn_seen = true;
    }
    if (datagram->tcp_flags & TCP_ACK) {
        if (!other->anchored)
            anchor(other, datagram->tcp_acknowledgement);
        tcp->settled = true;
    }
    return true;
}

bool sequence_refused(const struct tcp *tcp, enum direction direction,
                      const struct datagram *datagram)
{
    const struct stream *stream = &tcp->stream[direction], *other = &tcp->stream[!direction];
    return !stream->started && other->anchored && !other->closed &&
           datagram->tcp_flags & TCP_ACK &&
           datagram->tcp_acknowledgement == other->next_sequence;
}

void sequence_reset(struct tcp *tcp, enum direction direction, uint32_t sequence, uint64_t time_ns)
{
    struct stream *stream = &tcp->stream[direction];
    if (tcp->reset_seen)
        return;
    if (stream->closed) {
        int32_t after_fin = sequence_ahead(sequence, stream->fin_sequence);
        if (after_fin < 0 || after_fin > 1)
            return;
    } else if (stream->anchored) {
        int32_t ahead = sequence_ahead(sequence, stream->next_sequence);
        if (ahead < 0 || ahead >= SEQUENCE_BELIEF)
            return;
    } else if (!stream->started) {
        stream->next_sequence = sequence;
        stream->started = true;
    }
    tcp->reset_seen = true;
    tcp->reset_direction = (uint8_t)direction;
    tcp->reset_sequence = sequence;
    tcp->reset_ns = time_ns;
}
