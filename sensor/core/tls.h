/* TLS 1.0 to 1.3 as a third party sees it: what the handshake says in clear, and, where the
 * secrets of the session are given, what the records carry. libcrypto does the ciphers; nothing
 * is sent.
 *
 * Invariant: a byte is handed up as plaintext only when its record authenticated under the
 * session's own key, in its own place. Whatever fails is counted, never handed up and never
 * guessed; what cannot be decrypted yet is held, bounded, and handed up in its order when the
 * secret comes.
 *
 * Secrets lie in memory that is locked, left out of core files and forks, and wiped when freed. */
#ifndef HOPTAP_TLS_H
#define HOPTAP_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "budget.h"
#include "packet.h"
#include "tls_counters.h"
#include "tls_limits.h"

/* The secrets of one worker, the flows that wait for one, and the ciphers they use. */
struct tls_secrets;

enum tls_key_source {
    TLS_KEY_NONE,
    TLS_KEY_LOG,    /* a key log: file, FIFO, datagram */
    TLS_KEY_DSB,    /* a decryption secrets block of a pcapng file */
    TLS_KEY_RSA,    /* the server's private key */
    TLS_KEY_TICKET, /* the full handshake that this session resumes */
    TLS_KEY_TAP,    /* a tap, at the hook for key logs */
    TLS_KEY_SOURCES,
};

enum tls_line_verdict {
    TLS_LINE_TAKEN,
    TLS_LINE_IGNORED, /* empty, a comment, or a label that decrypts nothing here */
    TLS_LINE_MALFORMED,
};

enum tls_rsa_verdict { TLS_RSA_TAKEN, TLS_RSA_NOT_A_KEY, TLS_RSA_NOT_RSA, TLS_RSA_TOO_MANY };

/* limits, budget and counters are borrowed and outlive the store. NULL when memory is short or
 * libcrypto lacks what it needs. */
struct tls_secrets *tls_secrets_open(const struct tls_limits *limits, struct budget *budget,
                                     struct tls_counters *counters);

/* One line of an NSS key log (RFC 9850), with or without its line end. The caller wipes the line.
 * Cost does not depend on how many secrets are known. Flows are woken by the next tls_wake(). */
enum tls_line_verdict tls_secrets_line(struct tls_secrets *secrets, enum tls_key_source source,
                                       const char *line, size_t bytes);

/* The private key of a server, PEM without passphrase, for RSA key exchange; up to 64. */
enum tls_rsa_verdict tls_secrets_rsa_key(struct tls_secrets *secrets, const char *pem,
                                         size_t bytes);

/* Decrypts what waited for secrets that have come, and lets go of what has waited too long; call it
 * after lines were taken and as packet time passes. Cheap when nothing is due. Calls sinks. */
void tls_wake(struct tls_secrets *secrets, uint64_t time_ns);

/* What libcrypto keeps of the calling thread goes now: a thread may still be ending, and wipe it,
 * when tls_secrets_close() has freed what it refers to. The last call of a thread that fed flows. */
void tls_secrets_leave(struct tls_secrets *secrets);

/* Rises when a secret is taken that was not known; ciphertext held now, of all flows; bytes of
 * secrets that the kernel did not let us lock (RLIMIT_MEMLOCK). */
uint64_t tls_secrets_generation(const struct tls_secrets *secrets);
size_t tls_secrets_held_bytes(const struct tls_secrets *secrets);
size_t tls_secrets_unlocked_bytes(const struct tls_secrets *secrets);

/* Every tls_close() comes first. Accepts NULL. */
void tls_secrets_close(struct tls_secrets *secrets);

enum tls_visibility {
    TLS_METADATA,  /* nothing decrypted so far */
    TLS_DECRYPTED, /* at least one record was */
};

enum tls_trouble {
    TLS_UNTROUBLED,
    TLS_NO_KEY,      /* so far */
    TLS_LATE_KEY,    /* the beginning is lost */
    TLS_UNSUPPORTED,
    TLS_FAILED,      /* authentication */
    TLS_UNSEEN,      /* the hellos were not captured */
};

enum {
    TLS_NAME_CHARS = 255,    /* the longest name of RFC 6066 section 3 in use: a DNS name */
    TLS_SUBJECT_CHARS = 255, /* longer ones are cut */
    TLS_MD5_CHARS = 32,
    TLS_JA4_CHARS = 36, /* t13d1516h2_8daaf6152771_e5627efa2ab1 */
    TLS_JA4S_CHARS = 25, /* t120400_c030_4e8089b08790 */
    TLS_FINGERPRINT_CHARS = 64,
};

/* Texts are UTF-8 with control characters replaced, NUL-terminated, empty when not known. */
struct tls_info {
    uint16_t version;        /* as negotiated: 0x0301 to 0x0304; 0 when no ServerHello was seen */
    uint16_t cipher;         /* 0 likewise */
    const char *cipher_name; /* of the IANA registry; NULL when the registry has none */
    uint32_t session;        /* counts handshakes of this flow that began in clear, from 1 */
    uint64_t random_hash;    /* of both randoms, since a client may copy another's: equal where two
                                flows carry one session */
    uint8_t visibility;      /* enum tls_visibility */
    uint8_t trouble;         /* enum tls_trouble */
    uint8_t key_source;      /* enum tls_key_source */
    bool resumed;
    bool early_data; /* accepted by the server */
    char sni[TLS_NAME_CHARS + 1];
    char alpn[TLS_NAME_CHARS + 1];         /* the server's choice */
    char alpn_offered[TLS_NAME_CHARS + 1]; /* the client's first */
    char ja3[TLS_MD5_CHARS + 1], ja3s[TLS_MD5_CHARS + 1];
    char ja4[TLS_JA4_CHARS + 1], ja4s[TLS_JA4S_CHARS + 1];
    /* In clear up to TLS 1.2, else when decrypted. RFC 4514 text; SHA-256 of the DER in hex. */
    char subject[TLS_SUBJECT_CHARS + 1], issuer[TLS_SUBJECT_CHARS + 1];
    char fingerprint[TLS_FINGERPRINT_CHARS + 1];
    char client_subject[TLS_SUBJECT_CHARS + 1], client_issuer[TLS_SUBJECT_CHARS + 1];
    char client_fingerprint[TLS_FINGERPRINT_CHARS + 1];
};

/* Per direction and in packet order; times are those of the chunk that completed the record, so
 * with late keys they lie in the past. A callback must not close the tls it is called for. */
struct tls_sink {
    /* Something of it is new: hellos complete, first record decrypted, trouble, client
     * certificate. Always before the plaintext it describes. Borrowed; the same address for the
     * life of the tls. */
    void (*info)(void *context, const struct tls_info *info, uint64_t time_ns);
    /* Borrowed during the call; wiped or overwritten after it. */
    void (*plaintext)(void *context, enum direction direction, const uint8_t *data,
                      uint32_t bytes, uint64_t time_ns);
    /* Bytes that are not TLS, after the TLS or instead of it: a peer that went back to clear. */
    void (*clear)(void *context, enum direction direction, const uint8_t *data, uint32_t bytes,
                  uint64_t time_ns);
    /* Plaintext is missing; bytes is what the wire carried in its place. */
    void (*gap)(void *context, enum direction direction, uint64_t bytes, uint64_t time_ns);
    /* close_notify, or the end of the stream without it. Again only after a new handshake or
     * clear bytes in this direction. */
    void (*end)(void *context, enum direction direction, uint64_t time_ns);
};

struct tls_shared {
    const struct tls_limits *limits;
    struct budget *budget;
    struct tls_counters *counters;
    struct tls_secrets *secrets;
    struct tls_sink sink;
    bool ja4s; /* JA4S is under the FoxIO License 1.1, not an open one: off unless the site asks */
};

struct tls;

enum tls_sniff {
    TLS_SNIFF_NO,
    TLS_SNIFF_MORE,  /* all of the bytes fit, too few to say */
    TLS_SNIFF_HELLO, /* a ClientHello begins here */
    TLS_SNIFF_RECORD /* a record of a session whose handshake was not seen may begin here */
};

/* What a stream begins with; decides within 11 bytes. */
enum tls_sniff tls_sniff(const uint8_t *data, uint32_t bytes);

/* `context` goes to the sink. NULL when memory is short. Feed it from the first byte of the
 * ClientHello on, both directions. A second handshake in clear on the same stream, at once or after
 * clear bytes, is a new session of the same tls. */
struct tls *tls_open(const struct tls_shared *shared, void *context);
void tls_data(struct tls *tls, enum direction direction, const uint8_t *data, uint32_t bytes,
              uint64_t time_ns);
void tls_gap(struct tls *tls, enum direction direction, uint64_t bytes, uint64_t time_ns);
/* The stream of this direction is over. Held bytes stay held: the key may still come. */
void tls_end(struct tls *tls, enum direction direction, uint64_t time_ns);
/* Both directions are encrypted under secrets that nobody has: with no key to come, there is nothing
 * more to be read. */
bool tls_is_sealed(const struct tls *tls);
const struct tls_info *tls_info(const struct tls *tls);
/* Gives up on secrets still missing, hands up what that leaves, then frees; accepts NULL. */
void tls_close(struct tls *tls, uint64_t time_ns);

#endif
