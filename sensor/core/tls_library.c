#include "tls_library.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/params.h>
#include <string.h>

static const char *const cipher_names[TLS_ALGORITHMS] = {
    [AES_128_GCM] = "AES-128-GCM",   [AES_256_GCM] = "AES-256-GCM",
    [AES_128_CCM] = "AES-128-CCM",   [AES_256_CCM] = "AES-256-CCM",
    [AES_128_CCM_8] = "AES-128-CCM", [AES_256_CCM_8] = "AES-256-CCM",
    [AES_128_CBC] = "AES-128-CBC",   [AES_256_CBC] = "AES-256-CBC",
    [CHACHA20_POLY1305] = "ChaCha20-Poly1305",
};

static const struct {
    const char *name;
    uint32_t bytes;
} hashes[TLS_HASHES] = {
    [TLS_MD5] = {"MD5", 16},         [TLS_SHA1] = {"SHA1", 20},
    [TLS_MD5_SHA1] = {"MD5-SHA1", 36}, [TLS_SHA256] = {"SHA256", 32},
    [TLS_SHA384] = {"SHA384", 48},
};

uint32_t tls_hash_bytes(enum tls_hash hash)
{
    return hashes[hash].bytes;
}

const char *tls_hash_name(enum tls_hash hash)
{
    return hashes[hash].name;
}

static EVP_KDF_CTX *kdf_open(OSSL_LIB_CTX *context, const char *name)
{
    EVP_KDF *kdf = EVP_KDF_fetch(context, name, NULL);
    EVP_KDF_CTX *made = kdf ? EVP_KDF_CTX_new(kdf) : NULL;
    EVP_KDF_free(kdf);
    return made;
}

bool tls_library_open(struct tls_library *library)
{
    memset(library, 0, sizeof *library);
    OSSL_LIB_CTX *context = library->context = OSSL_LIB_CTX_new();
    if (!context)
        return false;
    for (int i = 1; i < TLS_ALGORITHMS; i++)
        library->cipher[i] = EVP_CIPHER_fetch(context, cipher_names[i], NULL);
    for (int i = 0; i < TLS_HASHES; i++)
        library->hash[i] = EVP_MD_fetch(context, hashes[i].name, NULL);
    library->hmac = EVP_MAC_fetch(context, "HMAC", NULL);
    library->prf = kdf_open(context, "TLS1-PRF");
    library->hkdf = kdf_open(context, "HKDF");
    library->digest = EVP_MD_CTX_new();
    return library->hash[TLS_SHA256] && library->hash[TLS_SHA384] && library->hmac &&
           library->prf && library->hkdf && library->digest;
}

void tls_library_close(struct tls_library *library)
{
    EVP_MD_CTX_free(library->digest);
    EVP_KDF_CTX_free(library->hkdf);
    EVP_KDF_CTX_free(library->prf);
    EVP_MAC_free(library->hmac);
    for (int i = 0; i < TLS_HASHES; i++)
        EVP_MD_free(library->hash[i]);
    for (int i = 0; i < TLS_ALGORITHMS; i++)
        EVP_CIPHER_free(library->cipher[i]);
    OSSL_LIB_CTX_free(library->context);
    memset(library, 0, sizeof *library);
}

/* OSSL_PARAM takes its input without const, and does not write to it. */
static OSSL_PARAM octets(const char *key, struct slice value)
{
    return OSSL_PARAM_construct_octet_string(key, (void *)(uintptr_t)value.data, value.bytes);
}

static OSSL_PARAM text(const char *key, const char *value)
{
    return OSSL_PARAM_construct_utf8_string(key, (char *)(uintptr_t)value, 0);
}

bool tls_prf(struct tls_library *library, enum tls_hash hash, struct slice secret,
             const char *label, struct slice first, struct slice second, uint8_t *out,
             uint32_t bytes)
{
    struct slice label_bytes = {(const uint8_t *)label, (uint32_t)strlen(label)};
    const OSSL_PARAM params[] = {
        text(OSSL_KDF_PARAM_DIGEST, hashes[hash].name),
        octets(OSSL_KDF_PARAM_SECRET, secret),
        octets(OSSL_KDF_PARAM_SEED, label_bytes), /* seeds add up */
        octets(OSSL_KDF_PARAM_SEED, first),
        octets(OSSL_KDF_PARAM_SEED, second),
        OSSL_PARAM_construct_end(),
    };
    bool made = EVP_KDF_derive(library->prf, out, bytes, params) == 1;
    EVP_KDF_CTX_reset(library->prf);
    return made;
}

bool tls_expand(struct tls_library *library, enum tls_hash hash, struct slice secret,
                const char *label, uint8_t *out, uint32_t bytes)
{
    uint8_t info[32] = {(uint8_t)(bytes >> 8), (uint8_t)bytes};
    uint32_t label_bytes = (uint32_t)strlen(label);
    info[2] = (uint8_t)(6 + label_bytes);
    memcpy(info + 3, "tls13 ", 6);
    memcpy(info + 9, label, label_bytes); /* at most "traffic upd" */
    info[9 + label_bytes] = 0;
    int mode = EVP_KDF_HKDF_MODE_EXPAND_ONLY;
    const OSSL_PARAM params[] = {
        text(OSSL_KDF_PARAM_DIGEST, hashes[hash].name),
        OSSL_PARAM_construct_int(OSSL_KDF_PARAM_MODE, &mode),
        octets(OSSL_KDF_PARAM_KEY, secret),
        octets(OSSL_KDF_PARAM_INFO, (struct slice){info, 10 + label_bytes}),
        OSSL_PARAM_construct_end(),
    };
    bool made = EVP_KDF_derive(library->hkdf, out, bytes, params) == 1;
    EVP_KDF_CTX_reset(library->hkdf);
    return made;
}

bool tls_digest_hex(struct tls_library *library, enum tls_hash hash, struct slice data, char *hex)
{
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned bytes = 0;
    hex[0] = '\0';
    if (!library->hash[hash] ||
        EVP_DigestInit_ex2(library->digest, library->hash[hash], NULL) != 1 ||
        EVP_DigestUpdate(library->digest, data.data, data.bytes) != 1 ||
        EVP_DigestFinal_ex(library->digest, digest, &bytes) != 1)
        return false;
    tls_hex(digest, bytes, hex);
    return true;
}
