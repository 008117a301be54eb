/* Every counter of TLS, named once, as counters.h. A counter only rises. */
#ifndef HOPTAP_TLS_COUNTERS_H
#define HOPTAP_TLS_COUNTERS_H

#include <stdint.h>

/* Each session (handshake, or flow joined after it) ends up in exactly one of the first seven. */
#define HOPTAP_TLS_COUNTERS(X)                                                                 \
    X(tls_sessions_decrypted)                                                                  \
    X(tls_sessions_no_key)       /* the secret never came */                                   \
    X(tls_sessions_late_key)     /* it came after ciphertext had been let go */                \
    X(tls_sessions_unsupported)  /* version, suite, compression or extension */                \
    X(tls_sessions_failed)       /* nothing authenticated: wrong key, or forged bytes */       \
    X(tls_sessions_unseen)       /* the hellos were not captured */                            \
    X(tls_sessions_unfinished)   /* ended before anything was encrypted */                     \
    X(tls_records)                                                                             \
    X(tls_records_decrypted)                                                                   \
    X(tls_records_undecrypted)   /* passed by for any of the reasons above */                  \
    X(tls_ciphertext_bytes)                                                                    \
    X(tls_plaintext_bytes)                                                                     \
    X(tls_authentication_failed) /* records */                                                 \
    X(tls_malformed)             /* records and handshake messages */                          \
    X(tls_gaps_resynchronised)                                                                 \
    X(tls_early_data_refused_bytes) /* 0-RTT bytes the server did not take */                  \
    X(tls_held_bytes)            /* ciphertext that ever waited for a key */                   \
    X(tls_held_shed_bytes)       /* let go for lack of room */                                 \
    X(tls_held_expired_bytes)    /* let go because its time was over */                        \
    X(tls_key_waits)             /* waits that a key ended */                                  \
    X(tls_key_wait_ms)           /* packet time they took together */                          \
    X(tls_key_waits_le_10ms)     /* waits by what they took; longer ones are in none */        \
    X(tls_key_waits_le_100ms)                                                                  \
    X(tls_key_waits_le_500ms)                                                                  \
    X(tls_key_waits_le_2000ms)                                                                 \
    X(tls_key_waits_le_10000ms)                                                                \
    X(tls_secrets_taken)                                                                       \
    X(tls_secrets_ignored)       /* comments, labels without use */                            \
    X(tls_secrets_malformed)                                                                   \
    X(tls_secrets_forgotten)     /* for lack of room */                                        \
    X(tls_rsa_failed)            /* a premaster secret that no private key opens */            \
    X(tls_memory_shed)

enum tls_counter {
#define HOPTAP_TLS_COUNTER_ENUM(name) COUNT_##name,
    HOPTAP_TLS_COUNTERS(HOPTAP_TLS_COUNTER_ENUM)
#undef HOPTAP_TLS_COUNTER_ENUM
        TLS_COUNTERS
};

enum tls_era { TLS_ERA_UNKNOWN, TLS_ERA_OLDER, TLS_ERA_1_2, TLS_ERA_1_3, TLS_ERAS };
enum { TLS_RESULTS = COUNT_tls_sessions_unfinished - COUNT_tls_sessions_decrypted + 1 };

struct tls_counters {
    uint64_t value[TLS_COUNTERS];
    uint64_t sessions[TLS_ERAS][TLS_RESULTS]; /* the first seven again, by version */
};

static inline void tls_count(struct tls_counters *counters, enum tls_counter which, uint64_t by)
{
    counters->value[which] += by;
}

#endif
