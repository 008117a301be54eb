/* Framing of the protocols that live on TCP 902, push-fed, each direction by itself: authd.c,
 * nfc*.c, vix*.c; protocol_framed.c says which it is. Private to the protocol code.
 *
 * Invariant: bytes are kept only of the message at hand, within the budget, and wiped. */
#ifndef HOPTAP_FRAMING_H
#define HOPTAP_FRAMING_H

#include "framed.h"
#include "http1_start.h"
#include "kept.h"
#include "protocol.h"

/* What the flow must become now; the bytes taken last are held, to be fed to it. */
enum framing_turn {
    TURN_NONE,
    TURN_DETECT, /* the TLS of authd */
    TURN_PASSED, /* authd has let a service through */
    TURN_OPAQUE,
};

enum { FRAMING_HEAD_BYTES = 64 }; /* the longest header read in place is of 60 */

struct framing_side {
    struct kept held;       /* the message at hand; owned, wiped and freed in framing_close */
    uint64_t start_ns;      /* its first byte */
    uint64_t message_bytes; /* of it on the wire, so far */
    uint64_t left;          /* of the part at hand, still to come */
    uint64_t bulk_bytes;    /* gone by and not told yet */
    uint64_t bulk_ns;       /* their first byte */
    uint32_t blanks;        /* authd: before the verb */
    uint32_t keep;          /* VIX: bytes of the message at hand */
    bool auth_data;         /* VIX: may follow, uncounted */
    uint8_t head[FRAMING_HEAD_BYTES]; /* of the message at hand, where it is not kept */
    uint8_t head_bytes;
    uint8_t state;          /* of the protocol; 0 is before a message */
    uint8_t flags;          /* enum framed_flag, of the message at hand */
    bool known;             /* authd: what began here is text */
    bool secret;            /* authd: the rest of the line is a password */
    bool carriage_return;   /* authd: was the last byte */
    bool loose_end;         /* authd: a line feed alone, which may be part of the password */
};

struct framing {
    const struct protocol_shared *shared; /* borrowed */
    struct flow *flow;
    uint32_t session;
    bool decrypted;
    uint8_t kind; /* enum framed_protocol; NFC classic and AIO are one */
    uint8_t turn; /* enum framing_turn */
    bool asked;   /* authd: for a service, or that may have been lost */
    bool aio;     /* NFC: the server has agreed to it */
    bool certain; /* console: the server has said so */
    bool reads;   /* NFC: FSSRVR_IO has read, and the answers' layout is not known */
    uint32_t operation; /* AIO: the last one's number */
    struct framing_side side[2];
};

/* NULL when memory is short (counted). */
struct framing *framing_open(const struct protocol_shared *shared, struct flow *flow,
                             enum framed_protocol kind);
/* Bytes taken, at least one. */
uint32_t framing_data(struct framing *framing, enum direction direction, const uint8_t *data,
                      uint32_t bytes, uint64_t time_ns);
void framing_gap(struct framing *framing, enum direction direction, uint64_t time_ns);
void framing_end(struct framing *framing, enum direction direction);
/* Tells the bulk that was not told yet, frees; accepts NULL. */
void framing_close(struct framing *framing);

/* For the protocols: hands up data as one message of `side->message_bytes`, after the bulk before
 * it, and stands before the next. */
void framing_hand_up(struct framing *framing, enum direction direction,
                     enum framed_protocol protocol, struct slice data);
void framing_bulk(struct framing *framing, enum direction direction, uint64_t bytes,
                  uint64_t time_ns);
/* False, and counted, when memory is short. */
bool framing_keep(struct framing *framing, struct framing_side *side, const uint8_t *data,
                  uint32_t bytes);
/* Keeps of it what fits below `limit` bytes of the message; false as framing_keep. */
bool framing_keep_within(struct framing *framing, struct framing_side *side, struct slice data,
                         uint32_t limit);
/* What there is of the part at hand, taken off what is left of it. */
struct slice framing_take(struct framing_side *side, struct slice data);
/* Hands up what was kept. */
void framing_hand_up_held(struct framing *framing, enum direction direction,
                          enum framed_protocol protocol);
/* The message at hand is counted instead of handed up. */
void framing_pass(struct framing *framing, enum direction direction);
/* What is at hand is no message, nor what follows: it is passed, and the next is sought. */
void framing_lose(struct framing *framing, enum direction direction, uint8_t seek_state);
/* Takes bytes of a head of `need` bytes, the message's first ones; returns how many. */
uint32_t framing_fill_head(struct framing_side *side, struct slice data, uint32_t need,
                           uint64_t time_ns);
/* Drops the first byte of the head, which begins no message. */
void framing_shift(struct framing *framing, enum direction direction, uint64_t time_ns);
/* As framing_fill_head, of a head that begins so; all before it is counted. */
uint32_t framing_seek(struct framing *framing, enum direction direction, struct slice data,
                      struct slice beginning, uint32_t need, uint64_t time_ns);
/* It was none after all: the next one in the same bytes. */
void framing_seek_on(struct framing *framing, enum direction direction, struct slice beginning,
                     uint64_t time_ns);
enum start_verdict console_start(const uint8_t *data, uint32_t bytes);
/* Forgets the message at hand. */
void framing_drop(struct framing *framing, struct framing_side *side);

static inline uint16_t little16(const uint8_t *at)
{
    return (uint16_t)(at[0] | at[1] << 8);
}

static inline uint32_t little32(const uint8_t *at)
{
    return at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

#endif
