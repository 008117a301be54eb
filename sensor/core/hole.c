#include "hole.h"

#include "held.h"
#include "sequence.h"

bool hole_waits_for_other(const struct stream *stream)
{
    const struct held_segment *held = held_first(stream);
    return stream->anchored && held &&
           sequence_ahead(held->sequence, stream->next_sequence) <= 0;
}

static int64_t nearer(int64_t ahead, uint32_t sequence, const struct stream *stream)
{
    int32_t candidate = sequence_ahead(sequence, stream->next_sequence);
    return candidate > 0 && (ahead == HOLE_NONE || candidate < ahead) ? candidate : ahead;
}

int64_t hole_bytes(const struct stream *stream)
{
    const struct held_segment *held = held_first(stream);
    int64_t ahead = HOLE_NONE;
    if (held)
        ahead = nearer(ahead, held->sequence, stream);
    if (stream->fin_seen)
        ahead = nearer(ahead, stream->fin_sequence, stream);
    if (stream->acknowledged_seen && sequence_lacks(stream, stream->acknowledged))
        ahead = nearer(ahead, stream->acknowledged, stream);
    return ahead;
}

bool hole_exists(const struct tcp *tcp, enum direction direction)
{
    const struct stream *stream = &tcp->stream[direction];
    if (stream->closed || !stream->started)
        return false;
    if (!stream->anchored)
        return true;
    if (!tcp->settled && (held_first(stream) || stream->fin_seen))
        return true; /* to see whether the other side's SYN comes */
    if (hole_waits_for_other(stream)) /* each for the other: one of them lies */
        return hole_waits_for_other(&tcp->stream[!direction]);
    return hole_bytes(stream) != HOLE_NONE;
}

enum direction hole_oldest(const struct tcp *tcp)
{
    uint64_t to_server = tcp->stream[TO_SERVER].hole_since_ns;
    uint64_t to_client = tcp->stream[TO_CLIENT].hole_since_ns;
    return to_client && (!to_server || to_client < to_server) ? TO_CLIENT : TO_SERVER;
}
