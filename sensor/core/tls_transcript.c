/* The session hash of RFC 7627, needed where the premaster secret is what we have. */
#include <string.h>

#include "tls_session.h"

enum { CLIENT_HELLO_BYTES_MAX = 64 << 10 };

void tls_transcript_add(struct tls *tls, struct slice message)
{
    struct tls_handshake *handshake = &tls->handshake;
    if (handshake->transcript)
        EVP_DigestUpdate(handshake->transcript, message.data, message.bytes);
}

/* Which hash it is, only the ServerHello says; so the ClientHello is kept until then. */
void tls_transcript_keep(struct tls *tls, struct slice message)
{
    struct tls_handshake *handshake = &tls->handshake;
    if (message.bytes > CLIENT_HELLO_BYTES_MAX)
        return;
    handshake->client_hello = tls_allocate(tls, message.bytes);
    if (!handshake->client_hello)
        return;
    handshake->client_hello_bytes = message.bytes;
    memcpy(handshake->client_hello, message.data, message.bytes);
}

static void drop_client_hello(struct tls *tls)
{
    struct tls_handshake *handshake = &tls->handshake;
    tls_release(tls, handshake->client_hello, handshake->client_hello_bytes);
    handshake->client_hello = NULL;
    handshake->client_hello_bytes = 0;
}

void tls_transcript_start(struct tls *tls, struct slice server_hello)
{
    struct tls_handshake *handshake = &tls->handshake;
    const struct tls_agreement *agreement = &handshake->agreement;
    const struct tls_suite *suite = agreement->suite;
    if (handshake->client_hello && agreement->version != TLS_1_3 && suite && suite->rsa &&
        handshake->extended_master_secret)
        handshake->transcript = EVP_MD_CTX_new();
    if (handshake->transcript) {
        const EVP_MD *hash =
            tls->secrets->library.hash[tls_suite_prf(suite, agreement->version)];
        struct slice hello = {handshake->client_hello, handshake->client_hello_bytes};
        if (EVP_DigestInit_ex2(handshake->transcript, hash, NULL) != 1) {
            EVP_MD_CTX_free(handshake->transcript);
            handshake->transcript = NULL;
        }
        tls_transcript_add(tls, hello);
        tls_transcript_add(tls, server_hello);
    }
    drop_client_hello(tls);
}

void tls_transcript_finish(struct tls *tls)
{
    struct tls_handshake *handshake = &tls->handshake;
    uint8_t hash[EVP_MAX_MD_SIZE];
    unsigned bytes = 0;
    if (!handshake->transcript)
        return;
    if (EVP_DigestFinal_ex(handshake->transcript, hash, &bytes) == 1 &&
        bytes <= sizeof handshake->session_hash) {
        memcpy(handshake->session_hash, hash, bytes);
        handshake->session_hash_bytes = bytes;
    }
    EVP_MD_CTX_free(handshake->transcript);
    handshake->transcript = NULL;
}
