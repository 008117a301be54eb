/* What is missing in the streams of a connection, as far as the packets seen tell. */
#ifndef HOPTAP_HOLE_H
#define HOPTAP_HOLE_H

#include "stream.h"

enum { HOLE_NONE = -1 };

/* The first held byte is the next one, and waits for the other direction only. */
bool hole_waits_for_other(const struct stream *stream);

/* Bytes missing before the next thing known of an anchored stream: held bytes, its FIN, or what
 * the other side acknowledged. */
int64_t hole_bytes(const struct stream *stream);

/* Whether time alone can bring the stream on. */
bool hole_exists(const struct tcp *tcp, enum direction direction);

/* Where the hole is that appeared first. */
enum direction hole_oldest(const struct tcp *tcp);

#endif
