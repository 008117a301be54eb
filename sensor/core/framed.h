/* Messages of the protocols that live on TCP 902 and of libvirt, framed and made safe to hand up: bulk data is counted,
 * not copied, and secrets that no decoder needs are blanked before they leave the core. */
#ifndef HOPTAP_FRAMED_H
#define HOPTAP_FRAMED_H

#include "transaction.h"

enum framed_protocol {
    FRAMED_AUTHD = 1, /* one line without its CRLF; the argument of PASS and XPAS is left out */
    FRAMED_NFC,       /* a classic message: 264 bytes, then its paths or text */
    FRAMED_NFC_AIO,   /* header, payload, then its paths or names */
    FRAMED_VIX,       /* header, body, credential; what follows a credential's name is zeroed */
    FRAMED_CONSOLE,   /* the first bytes of a console: "RFB 003.008\n" */
    FRAMED_LIBVIRT,   /* a call or an answer of libvirt's RPC, from its length on */
};

enum framed_flag {
    FRAMED_CUT = 1,       /* `data` holds less than the message had */
    FRAMED_DECRYPTED = 2, /* came out of TLS */
    FRAMED_BULK = 4,      /* no message: `size_bytes` of bulk data went by since the last one */
    FRAMED_BLANKED = 8,   /* a secret was left out or zeroed */
};

struct framed {
    uint8_t protocol; /* enum framed_protocol */
    uint8_t flags;    /* enum framed_flag */
    uint32_t session; /* of TLS, counted from 1 within the flow; 0: in clear */
    uint64_t size_bytes; /* of the message on the wire, line end and what was left out included */
    uint64_t start_ns;   /* its first byte */
    struct slice data;   /* borrowed during the call only */
};

#endif
