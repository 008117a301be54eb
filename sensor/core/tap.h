/* The tap of a TLS library as a source: what kernel programs of sensor/bpf wrote into their ring.
 *
 * A packet of it has the link type LINK_TAP; its data are a struct tap_event and what follows. Its
 * time is CLOCK_REALTIME, of the same clock as that of an interface. */
#ifndef HOPTAP_TAP_H
#define HOPTAP_TAP_H

#include "source.h"
#include "tap_event.h"

/* `fd` is a BPF_MAP_TYPE_RINGBUF, or a file laid out as one: its two positions in a page each, then
 * the data once, a power of two. Borrowed: it is duplicated. */
struct source *tap_open(int fd, char error[SOURCE_ERROR_BYTES]);

/* Of a source that tap_open opened: whether what is known of the event's socket still holds. False
 * when a later event ends its session or shows its descriptor in use by another, or when too many
 * wait to be looked through. */
bool tap_still_holds(const struct source *source, const struct tap_event *event);

#endif
