/* The inside of struct tls, and which file does what with it:
 *   tls.c            the outside: chunks in, holding them while a secret is missing, closing
 *   tls_record.c     finds the records in the bytes of a direction
 *   tls_unseal.c     opens a record, or says why not
 *   tls_message.c    puts handshake messages together
 *   tls_handshake.c  follows them
 *   tls_transcript.c hashes them, where the premaster secret is what we have
 *   tls_keys.c       turns secrets into ciphers
 *   tls_session.c    what is told to the sink, beginnings and ends of sessions */
#ifndef HOPTAP_TLS_SESSION_H
#define HOPTAP_TLS_SESSION_H

#include "tls.h"
#include "tls_cipher.h"
#include "tls_held.h"
#include "tls_hello.h"
#include "tls_secrets.h"

enum tls_reading {
    READ_RECORDS, /* records follow one another */
    READ_SEEK,    /* after a gap: looking for a record that authenticates */
    READ_HELLO,   /* nothing is of use but a new handshake in clear */
    READ_CLEAR,   /* not TLS */
};

enum tls_epoch { EPOCH_PLAIN, EPOCH_EARLY, EPOCH_HANDSHAKE, EPOCH_TRAFFIC };

enum {
    TLS_HELLO_BYTES = 11, /* up to the version in the hello: what tells one from other bytes */
    TLS_WAITERS = 8,
    TLS_MESSAGE_HEADER_BYTES = 4,
};

/* A handshake message that comes in parts. */
struct tls_message {
    uint8_t *data; /* owned; freed in tls_message_clear */
    uint32_t bytes, room;
    uint32_t skip; /* bytes still to come of one too long to keep */
};

/* One direction. */
struct tls_side {
    uint8_t reading; /* enum tls_reading */
    uint8_t epoch;   /* enum tls_epoch */
    uint8_t blind;   /* enum tls_trouble: why records pass unopened; TLS_UNTROUBLED: they do not */
    bool gave_up;    /* has waited for its secret; will not again in this session */
    bool uncertain;  /* which sequence number comes next, or which epoch, has to be tried */
    bool recovering; /* uncertain since the secret came late: the number is near the high end */
    bool refused;    /* uncertain, and what fails is nothing to miss: refused early data */
    bool broken;     /* handshake messages may be cut at the front */
    bool ended;      /* the sink was told */
    uint8_t head_bytes, head[TLS_HELLO_BYTES]; /* may be the beginning of a hello */
    uint32_t doubts;    /* records that may still fail while uncertain */
    uint32_t buffered;  /* bytes in buffer: a record in parts; while seeking, what is searched */
    uint8_t *buffer;    /* owned; from tls_buffer_take */
    uint32_t tried;     /* while seeking: what ends in the buffer up to here was tried */
    uint32_t due;       /* while seeking: where the next that may be a record ends */
    uint32_t clear_bytes; /* of READ_CLEAR so far, saturating */
    struct tls_cipher *cipher; /* owned, as next; NULL: plain, or not made yet */
    struct tls_cipher *next;   /* of the epoch after, while uncertain */
    uint64_t sequence;     /* of the next record, at least */
    uint64_t slack;        /* and at most this much more */
    uint64_t nonce;        /* explicit one of the last record opened, up to TLS 1.2 */
    uint64_t missed_bytes; /* of the wire, not yet told as a gap */
    struct tls_message message;
};

/* What the current handshake said. */
struct tls_handshake {
    struct tls_agreement agreement;
    bool client_seen, server_seen; /* the hellos */
    bool retry;         /* HelloRetryRequest seen */
    bool early_offered, early_decided;
    bool server_done;   /* ServerHelloDone seen: a full handshake */
    bool resumed;
    bool extended_master_secret;
    bool unsupported;   /* compression, truncated HMAC */
    bool has_ticket, has_origin;
    uint16_t client_version;
    uint8_t session_id_bytes, session_id[TLS_NAME_BYTES]; /* client's, then the server's */
    uint8_t ticket[TLS_NAME_BYTES];    /* SHA-256 of the one the client offered */
    uint8_t origin[TLS_RANDOM_BYTES];  /* client random of the full handshake resumed */
    /* For RSA key exchange; owned, freed in tls_handshake_clear. */
    EVP_MD_CTX *transcript;
    EVP_PKEY *server_key;
    uint8_t *client_hello, *sealed; /* the message; the encrypted premaster secret */
    uint32_t client_hello_bytes, sealed_bytes;
    uint32_t rsa_keys_tried;
    uint32_t session_hash_bytes;
    uint8_t session_hash[TLS_HASH_BYTES_MAX]; /* RFC 7627 section 3 */
};

struct tls {
    const struct tls_shared *shared;
    struct tls_secrets *secrets;
    void *context;
    struct tls_side side[2]; /* by direction */
    enum direction client;   /* the direction the ClientHello went in */
    struct tls_handshake handshake;
    struct tls_traffic_secrets *traffic; /* in the vault; given back in tls_close */
    struct tls_info info;
    bool info_changed, info_told;
    bool late;    /* ciphertext was let go and the secret came after */
    bool closing;
    bool began;   /* a session is under way that will be counted */
    bool waiting; /* `stalled` lacks a secret: everything is held */
    bool unparking;
    enum direction stalled;
    uint64_t stalled_ns;
    uint8_t letting_go; /* 0, or the counter + 1 of the held bytes now passed by */
    struct tls_held held;
    struct tls_held parked; /* the client's bytes until the server decides on early data */
    struct tls_waiter waiters[TLS_WAITERS];
    struct tls_place held_place, ready_place;
};

static inline bool tls_is_13(const struct tls *tls)
{
    return tls->handshake.server_seen && tls->handshake.agreement.version == TLS_1_3;
}

static inline enum direction tls_other(enum direction direction)
{
    return direction == TO_SERVER ? TO_CLIENT : TO_SERVER;
}

/* tls_session.c */
void *tls_allocate(struct tls *tls, uint32_t bytes); /* from the budget; NULL is counted */
void tls_release(struct tls *tls, void *memory, uint32_t bytes); /* wipes; accepts NULL */
void tls_announce(struct tls *tls, uint64_t time_ns); /* if the info changed */
void tls_copy_name(char *text, struct slice name);    /* of TLS_NAME_CHARS + 1 */
void tls_tell_gap(struct tls *tls, enum direction direction, uint64_t time_ns);
void tls_tell_end(struct tls *tls, enum direction direction, uint64_t time_ns);
void tls_blind(struct tls *tls, enum direction direction, enum tls_trouble why, uint64_t time_ns);
/* The hellos are not to be had: metadata only, until a new handshake. */
void tls_lose(struct tls *tls, uint64_t time_ns);
/* A new handshake in clear begins in this direction. */
void tls_restart(struct tls *tls, enum direction client);
void tls_finish(struct tls *tls); /* counts how the session went */
void tls_forget_ciphers(struct tls_side *side);
void tls_decide_early(struct tls *tls, bool accepted);
void tls_handshake_clear(struct tls *tls);
void tls_buffer_drop(struct tls *tls, struct tls_side *side);

/* tls_record.c: bytes used; fewer than given when a secret is missing, when early data must be
 * parked, or when parked bytes come first. With no bytes, goes on with what is buffered. */
uint32_t tls_feed(struct tls *tls, enum direction direction, const uint8_t *data, uint32_t bytes,
                  uint64_t time_ns);
void tls_feed_gap(struct tls *tls, enum direction direction, uint64_t bytes, uint64_t time_ns);
void tls_feed_end(struct tls *tls, enum direction direction, uint64_t time_ns);
bool tls_must_park(const struct tls *tls, enum direction direction);
bool tls_must_unpark(const struct tls *tls, enum direction direction);
/* How well bytes begin like a hello of this handshake type; -1 no, 0 so far, 1 yes. */
int tls_like_hello(const uint8_t *data, uint32_t bytes, uint8_t type);

/* tls_unseal.c */
struct tls_record {
    const uint8_t *header, *body; /* 5 bytes, and the rest */
    uint32_t bytes;               /* of body */
};

enum tls_step {
    STEP_DONE,
    STEP_WAIT, /* tls->waiting is set; the same record comes again */
    STEP_MISS, /* while seeking: not a record of this stream */
};

enum tls_step tls_take_record(struct tls *tls, enum direction direction, struct tls_record record,
                              uint64_t time_ns);

/* tls_message.c: false when malformed. */
bool tls_handshake_bytes(struct tls *tls, enum direction direction, struct slice data,
                         uint64_t time_ns);
void tls_message_clear(struct tls *tls, struct tls_side *side);

/* tls_handshake.c: a whole message with its header; false when malformed. */
bool tls_take_message(struct tls *tls, enum direction direction, struct slice message,
                      uint64_t time_ns);
void tls_change_cipher(struct tls *tls, enum direction direction, uint64_t time_ns);

/* tls_transcript.c */
void tls_transcript_keep(struct tls *tls, struct slice client_hello);
void tls_transcript_start(struct tls *tls, struct slice server_hello);
void tls_transcript_add(struct tls *tls, struct slice message);
void tls_transcript_finish(struct tls *tls); /* makes the session hash */

/* tls_keys.c */
enum tls_arm { ARMED, ARM_MISSING, ARM_UNSUPPORTED, ARM_FAILED, ARM_SHED };

/* Makes side->cipher for side->epoch; where a log tells only later secrets, moves on to their
 * epoch. */
enum tls_arm tls_arm(struct tls *tls, enum direction direction);
bool tls_arm_next(struct tls *tls, enum direction direction);  /* side->next; false: none */
void tls_take_next(struct tls *tls, enum direction direction); /* makes it side->cipher */
bool tls_update_key(struct tls *tls, enum direction direction);
/* Where the master secret of a resumed session comes from, as far as known now. */
void tls_find_origin(struct tls *tls);
/* Registers for the secrets that are missing now, and for no others. */
void tls_await(struct tls *tls);

/* tls.c: false when the session may not wait (any more). */
bool tls_wait(struct tls *tls, enum direction direction, uint64_t time_ns);

#endif
