/* What the kernel programs of sensor/bpf write into the ring buffer, and the core reads from it.
 *
 * Included by both, so it uses the types of <linux/types.h> alone. An event is this header and
 * then `size` bytes; the record in the ring may be longer, what follows is no part of it. Byte
 * counts run on when bytes were lost: what is missing shows as a gap.
 */
#ifndef HOPTAP_TAP_EVENT_H
#define HOPTAP_TAP_EVENT_H

#include <linux/types.h>

#define TAP_DATA_BYTES_MAX 16384 /* of one event: a TLS record's plaintext (RFC 8446 section 5.1) */

enum tap_kind {
    TAP_DATA = 1, /* plaintext that went through the library */
    /* The session was freed; with session 0, every one of this pid that began up to `generation`
     * (0: every one): it ended. */
    TAP_CLOSE,
    TAP_SECRET,   /* a line of a key log, without its newline */
    TAP_ADDRESS,  /* struct tap_address of the session's socket; may never come, or come late */
    TAP_TOTALS,   /* struct tap_totals: the session lost bytes and has not said more since */
};

enum tap_direction { TAP_WRITTEN, TAP_READ }; /* by the tapped process */

enum tap_role { TAP_ROLE_UNKNOWN, TAP_ROLE_CLIENT, TAP_ROLE_SERVER }; /* of the process, in TLS */

/* In network order; of IPv4 the first 4 bytes of each address are used. */
struct tap_address {
    __u8 local[16];
    __u8 remote[16];
    __u16 local_port_be;
    __u16 remote_port_be;
    __u16 family; /* AF_INET or AF_INET6, in host order; a mapped IPv4 address is AF_INET */
    __u16 pad;
};

/* What may follow a TAP_CLOSE: with it, bytes lost at the end are known missing, too. Both by enum
 * tap_direction. */
struct tap_totals {
    __u64 bytes[2]; /* lost ones counted */
    __u64 told[2];  /* up to here no loss is new: later ones than this are lost at the end */
};

struct tap_event {
    __u64 time_ns;    /* CLOCK_MONOTONIC, when the call began (write) or returned (read) */
    __u64 session;    /* address of the SSL object, gnutls session or tls.Conn: an identity only */
    __u64 generation; /* differs when the same address is another session later */
    __u64 offset;     /* bytes of this direction that went before these, lost ones counted */
    __u32 pid;        /* of the process (tgid) in the sensor's pid namespace */
    __u32 size;       /* bytes that follow */
    __s32 fd;         /* socket that the call used, -1 when not seen */
    __u16 tap;        /* number of the [[tap]] */
    __u8 kind;
    __u8 direction;
    __u8 role;
    __u8 late; /* the session's beginning was not seen: it may have said more before */
    __u8 pad[6];
};

#endif
