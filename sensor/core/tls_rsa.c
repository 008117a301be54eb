#include "tls_rsa.h"

#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <string.h>

enum {
    GUESSES_MAX = 4, /* private-key operations when nothing says which key; about 1 ms each */
    MODULUS_BYTES_MAX = 2048,
};

/* Without it libcrypto would ask the terminal. */
static int no_passphrase(char *buffer, int bytes, int writing, void *context)
{
    (void)buffer, (void)bytes, (void)writing, (void)context;
    return -1;
}

enum tls_rsa_verdict tls_rsa_add(struct tls_rsa *rsa, struct tls_library *library,
                                 const char *pem, size_t bytes)
{
    if (rsa->count == TLS_RSA_KEYS_MAX)
        return TLS_RSA_TOO_MANY;
    if (bytes > 1u << 20)
        return TLS_RSA_NOT_A_KEY;
    BIO *bio = BIO_new_mem_buf(pem, (int)bytes);
    EVP_PKEY *key = NULL;
    if (bio)
        key = PEM_read_bio_PrivateKey_ex(bio, NULL, no_passphrase, NULL, library->context, NULL);
    BIO_free(bio);
    ERR_clear_error();
    if (!key)
        return TLS_RSA_NOT_A_KEY;
    if (!EVP_PKEY_is_a(key, "RSA")) {
        EVP_PKEY_free(key);
        return TLS_RSA_NOT_RSA;
    }
    for (uint32_t i = 0; i < rsa->count; i++) {
        if (EVP_PKEY_eq(key, rsa->key[i]) == 1) {
            EVP_PKEY_free(key);
            return TLS_RSA_TAKEN;
        }
    }
    rsa->key[rsa->count++] = key;
    return TLS_RSA_TAKEN;
}

/* PKCS#1 v1.5. A libcrypto with implicit rejection answers bad padding with random bytes, as a
 * server must (RFC 5246 section 7.4.7.1): then the version does not fit, and if it does, no
 * record will. */
static bool open_sealed(struct tls_library *library, EVP_PKEY *key, struct slice sealed,
                        uint16_t version, uint8_t premaster[TLS_MASTER_BYTES])
{
    uint8_t opened[MODULUS_BYTES_MAX];
    size_t bytes = sizeof opened;
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_pkey(library->context, key, NULL);
    bool good = context && (uint32_t)EVP_PKEY_get_size(key) == sealed.bytes &&
                sealed.bytes <= sizeof opened && EVP_PKEY_decrypt_init(context) == 1 &&
                EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PADDING) == 1 &&
                EVP_PKEY_decrypt(context, opened, &bytes, sealed.data, sealed.bytes) == 1 &&
                bytes == TLS_MASTER_BYTES && opened[0] == version >> 8 &&
                opened[1] == (version & 255);
    if (good)
        memcpy(premaster, opened, TLS_MASTER_BYTES);
    OPENSSL_cleanse(opened, sizeof opened);
    EVP_PKEY_CTX_free(context);
    ERR_clear_error();
    return good;
}

bool tls_rsa_premaster(const struct tls_rsa *rsa, struct tls_library *library,
                       const EVP_PKEY *certified, struct slice sealed, uint16_t version,
                       uint8_t premaster[TLS_MASTER_BYTES])
{
    uint32_t guesses = 0;
    for (uint32_t i = 0; i < rsa->count; i++) {
        if (certified) {
            if (EVP_PKEY_eq(certified, rsa->key[i]) == 1)
                return open_sealed(library, rsa->key[i], sealed, version, premaster);
        } else if (guesses < GUESSES_MAX &&
                   (uint32_t)EVP_PKEY_get_size(rsa->key[i]) == sealed.bytes) {
            guesses++;
            if (open_sealed(library, rsa->key[i], sealed, version, premaster))
                return true;
        }
    }
    return false;
}

void tls_rsa_close(struct tls_rsa *rsa)
{
    for (uint32_t i = 0; i < rsa->count; i++)
        EVP_PKEY_free(rsa->key[i]);
    OPENSSL_cleanse(rsa, sizeof *rsa);
}
