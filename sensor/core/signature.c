#include "signature.h"

#include <limits.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdbool.h>

/* Without it libcrypto would ask the terminal. */
static int no_passphrase(char *buffer, int bytes, int writing, void *context)
{
    (void)buffer, (void)bytes, (void)writing, (void)context;
    return -1;
}

/* The key is the caller's to free. */
static enum signature_verdict read_key(struct signed_bytes pem, bool is_private, EVP_PKEY **key)
{
    *key = NULL;
    if (pem.bytes > INT_MAX)
        return SIGNATURE_NOT_A_KEY;
    BIO *bio = BIO_new_mem_buf(pem.data, (int)pem.bytes);
    if (!bio)
        return SIGNATURE_FAILED;
    *key = is_private ? PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL)
                      : PEM_read_bio_PUBKEY(bio, NULL, no_passphrase, NULL);
    BIO_free(bio);
    ERR_clear_error();
    if (!*key)
        return SIGNATURE_NOT_A_KEY;
    if (EVP_PKEY_is_a(*key, "ED25519"))
        return SIGNATURE_GOOD;
    EVP_PKEY_free(*key);
    *key = NULL;
    return SIGNATURE_NOT_ED25519;
}

enum signature_verdict signature_make(struct signed_bytes pem, struct signed_bytes message,
                                      uint8_t signature[SIGNATURE_BYTES])
{
    EVP_PKEY *key;
    enum signature_verdict verdict = read_key(pem, true, &key);
    if (verdict != SIGNATURE_GOOD)
        return verdict;
    size_t bytes = SIGNATURE_BYTES;
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool good = context && EVP_DigestSignInit(context, NULL, NULL, NULL, key) == 1 &&
                EVP_DigestSign(context, signature, &bytes, message.data, message.bytes) == 1 &&
                bytes == SIGNATURE_BYTES;
    EVP_MD_CTX_free(context);
    EVP_PKEY_free(key);
    ERR_clear_error();
    return good ? SIGNATURE_GOOD : SIGNATURE_FAILED;
}

enum signature_verdict signature_public(struct signed_bytes pem, uint8_t raw[SIGNATURE_KEY_BYTES])
{
    EVP_PKEY *key;
    enum signature_verdict verdict = read_key(pem, false, &key);
    if (verdict == SIGNATURE_NOT_A_KEY)
        verdict = read_key(pem, true, &key);
    if (verdict != SIGNATURE_GOOD)
        return verdict;
    size_t bytes = SIGNATURE_KEY_BYTES;
    bool good = EVP_PKEY_get_raw_public_key(key, raw, &bytes) == 1 && bytes == SIGNATURE_KEY_BYTES;
    EVP_PKEY_free(key);
    ERR_clear_error();
    return good ? SIGNATURE_GOOD : SIGNATURE_FAILED;
}

enum signature_verdict signature_check(const uint8_t raw[SIGNATURE_KEY_BYTES],
                                       struct signed_bytes message, struct signed_bytes signature)
{
    EVP_PKEY *key =
        EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, raw, SIGNATURE_KEY_BYTES);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool ready = key && context && EVP_DigestVerifyInit(context, NULL, NULL, NULL, key) == 1;
    bool good = ready && EVP_DigestVerify(context, signature.data, signature.bytes, message.data,
                                          message.bytes) == 1;
    EVP_MD_CTX_free(context);
    EVP_PKEY_free(key);
    ERR_clear_error();
    return good ? SIGNATURE_GOOD : ready ? SIGNATURE_BAD : SIGNATURE_FAILED;
}
