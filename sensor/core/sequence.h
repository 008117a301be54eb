/* What the numbers in TCP headers say of where a stream begins, how far it goes and how it ends. */
#ifndef HOPTAP_SEQUENCE_H
#define HOPTAP_SEQUENCE_H

#include "packet.h"
#include "stream.h"

enum {
    /* No receiver offers more (RFC 7323 section 2.3): what lies further ahead is of another
     * connection. */
    SEQUENCE_WINDOW_AHEAD = 1 << 30,
    /* How far ahead a RST, or an acknowledgement that tells us where a stream begins, is
     * believed. */
    SEQUENCE_BELIEF = 1 << 24,
};

/* a - b, where both are near each other on the circle of 2^32 (RFC 9293 section 3.4). */
static inline int32_t sequence_ahead(uint32_t a, uint32_t b)
{
    return (int32_t)(a - b);
}

/* Whether the other side acknowledges what we have not delivered of this stream. */
static inline bool sequence_lacks(const struct stream *stream, uint32_t acknowledgement)
{
    if (!stream->started || stream->closed)
        return false;
    bool past_fin = stream->fin_guessed ||
                    (stream->fin_seen && stream->next_sequence == stream->fin_sequence);
    int32_t ahead = sequence_ahead(acknowledgement, stream->next_sequence + past_fin);
    return ahead > 0 && ahead < SEQUENCE_WINDOW_AHEAD;
}

/* Keeps the highest acknowledgement of this stream that is believable. */
void sequence_acknowledged(struct stream *stream, uint32_t acknowledgement);

/* A stream met in the middle begins: here, or where the other side says we missed some. */
void sequence_begin(struct stream *stream, uint32_t sequence);

/* A SYN, or SYN|ACK; false when it is of another connection than the stream. */
bool sequence_syn(struct tcp *tcp, enum direction direction, const struct datagram *datagram);

/* Nobody listens: the RST is the server's only segment, and answers the SYN (RFC 9293 section
 * 3.5.2). */
bool sequence_refused(const struct tcp *tcp, enum direction direction,
                      const struct datagram *datagram);

/* A RST that is believable is noted in tcp->reset_...; of a stream not met before it is the end. */
void sequence_reset(struct tcp *tcp, enum direction direction, uint32_t sequence,
                    uint64_t time_ns);

#endif
