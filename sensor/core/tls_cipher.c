#include "tls_cipher.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/params.h>
#include <stdlib.h>
#include <string.h>

enum {
    BLOCK_BYTES = 16,
    NONCE_BYTES = 12,
    SALT_BYTES = 4,      /* RFC 5288 section 3: the implicit part of a GCM or CCM nonce */
    EXPLICIT_BYTES = 8,  /* and the part in the record */
    MAC_BYTES_MAX = 48,
    KEY_BYTES_MAX = 32,
};

enum mode { GCM, CCM, CHACHA, CBC };

static const struct form {
    uint8_t mode, key_bytes, tag_bytes;
} forms[TLS_ALGORITHMS] = {
    [AES_128_GCM] = {GCM, 16, 16},  [AES_256_GCM] = {GCM, 32, 16},
    [AES_128_CCM] = {CCM, 16, 16},  [AES_256_CCM] = {CCM, 32, 16},
    [AES_128_CCM_8] = {CCM, 16, 8}, [AES_256_CCM_8] = {CCM, 32, 8},
    [AES_128_CBC] = {CBC, 16, 0},   [AES_256_CBC] = {CBC, 32, 0},
    [CHACHA20_POLY1305] = {CHACHA, 32, 16},
};

struct tls_cipher {
    EVP_CIPHER_CTX *context; /* owned; freed, and its key wiped, in tls_cipher_close */
    EVP_MAC_CTX *mac;        /* owned likewise; CBC only */
    uint16_t version;
    uint8_t mode, tag_bytes, explicit_bytes, mac_bytes;
    bool encrypt_then_mac;
    uint8_t iv[BLOCK_BYTES]; /* the nonce or its implicit part; CBC of TLS 1.0: the last block */
};

static void put_u64(uint8_t *at, uint64_t number)
{
    for (int i = 7; i >= 0; i--, number >>= 8)
        at[i] = (uint8_t)number;
}

static void put_u16(uint8_t *at, uint32_t number)
{
    at[0] = (uint8_t)(number >> 8);
    at[1] = (uint8_t)number;
}

bool tls_cipher_supported(const struct tls_library *library, const struct tls_suite *suite,
                          uint16_t version)
{
    if (!suite || !library->cipher[suite->algorithm])
        return false;
    if (version == TLS_1_3)
        return suite->id >> 8 == 0x13;
    if (version < TLS_1_0 || version > TLS_1_2 || suite->id >> 8 == 0x13)
        return false;
    /* AEAD suites are of TLS 1.2 only (RFC 5246 section 6.2.3.3). */
    bool cbc = forms[suite->algorithm].mode == CBC;
    return cbc ? library->hash[tls_suite_prf(suite, version)] && library->hash[suite->hash]
               : version == TLS_1_2;
}

/* The key goes into the context here, once; a record then sets only its nonce. */
static struct tls_cipher *open_with(struct tls_library *library, const struct tls_suite *suite,
                                    uint16_t version, const uint8_t *key, const uint8_t *iv,
                                    uint32_t iv_bytes)
{
    const struct form *form = &forms[suite->algorithm];
    struct tls_cipher *cipher = calloc(1, sizeof *cipher);
    if (!cipher)
        return NULL;
    cipher->version = version;
    cipher->mode = form->mode;
    cipher->tag_bytes = form->tag_bytes;
    if (version < TLS_1_3 && (form->mode == GCM || form->mode == CCM))
        cipher->explicit_bytes = EXPLICIT_BYTES;
    if (version > TLS_1_0 && form->mode == CBC)
        cipher->explicit_bytes = BLOCK_BYTES;
    memcpy(cipher->iv, iv, iv_bytes);
    cipher->context = EVP_CIPHER_CTX_new();
    EVP_CIPHER_CTX *context = cipher->context;
    if (!context || EVP_DecryptInit_ex2(context, library->cipher[suite->algorithm], NULL, NULL,
                                        NULL) != 1)
        goto failed;
    if (form->mode == CCM &&
        (EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_IVLEN, NONCE_BYTES, NULL) != 1 ||
         EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, form->tag_bytes, NULL) != 1))
        goto failed;
    if (EVP_DecryptInit_ex2(context, NULL, key, NULL, NULL) != 1)
        goto failed;
    if (form->mode == CBC)
        EVP_CIPHER_CTX_set_padding(context, 0); /* TLS pads in its own way; we look ourselves */
    return cipher;
failed:
    tls_cipher_close(cipher);
    return NULL;
}

struct tls_cipher *tls_cipher_open13(struct tls_library *library, const struct tls_suite *suite,
                                     struct slice secret)
{
    uint8_t key[KEY_BYTES_MAX], iv[NONCE_BYTES];
    struct tls_cipher *cipher = NULL;
    if (tls_expand(library, suite->hash, secret, "key", key, forms[suite->algorithm].key_bytes) &&
        tls_expand(library, suite->hash, secret, "iv", iv, sizeof iv))
        cipher = open_with(library, suite, TLS_1_3, key, iv, sizeof iv);
    OPENSSL_cleanse(key, sizeof key);
    OPENSSL_cleanse(iv, sizeof iv);
    return cipher;
}

static bool add_mac(struct tls_library *library, struct tls_cipher *cipher, enum tls_hash hash,
                    const uint8_t *key)
{
    const OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST,
                                         (char *)(uintptr_t)tls_hash_name(hash), 0),
        OSSL_PARAM_construct_end(),
    };
    cipher->mac_bytes = (uint8_t)tls_hash_bytes(hash);
    cipher->mac = EVP_MAC_CTX_new(library->hmac);
    return cipher->mac && EVP_MAC_init(cipher->mac, key, cipher->mac_bytes, params) == 1;
}

/* RFC 5246 section 6.3: both MAC keys, both keys, both IVs; the client's first. */
struct tls_cipher *tls_cipher_open12(struct tls_library *library,
                                     const struct tls_agreement *agreement, struct slice master,
                                     bool client)
{
    const struct tls_suite *suite = agreement->suite;
    const struct form *form = &forms[suite->algorithm];
    bool cbc = form->mode == CBC;
    uint32_t mac_bytes = cbc ? tls_hash_bytes(suite->hash) : 0;
    uint32_t iv_bytes = SALT_BYTES;
    if (form->mode == CHACHA)
        iv_bytes = NONCE_BYTES; /* RFC 7905 section 2 */
    else if (cbc)
        iv_bytes = agreement->version > TLS_1_0 ? 0 : BLOCK_BYTES;
    uint8_t block[2 * (MAC_BYTES_MAX + KEY_BYTES_MAX + BLOCK_BYTES)];
    uint32_t other = client ? 0 : 1;
    const uint8_t *mac_key = block + other * mac_bytes;
    const uint8_t *key = block + 2 * mac_bytes + other * form->key_bytes;
    const uint8_t *iv = block + 2 * mac_bytes + 2 * form->key_bytes + other * iv_bytes;
    struct tls_cipher *cipher = NULL;
    if (tls_prf(library, tls_suite_prf(suite, agreement->version), master, "key expansion",
                (struct slice){agreement->server_random, TLS_RANDOM_BYTES},
                (struct slice){agreement->client_random, TLS_RANDOM_BYTES}, block,
                2 * (mac_bytes + form->key_bytes + iv_bytes)))
        cipher = open_with(library, suite, agreement->version, key, iv, iv_bytes);
    if (cipher && cbc) {
        cipher->encrypt_then_mac = agreement->encrypt_then_mac;
        if (!add_mac(library, cipher, suite->hash, mac_key)) {
            tls_cipher_close(cipher);
            cipher = NULL;
        }
    }
    OPENSSL_cleanse(block, sizeof block);
    return cipher;
}

void tls_cipher_close(struct tls_cipher *cipher)
{
    if (!cipher)
        return;
    EVP_CIPHER_CTX_free(cipher->context);
    EVP_MAC_CTX_free(cipher->mac);
    OPENSSL_cleanse(cipher, sizeof *cipher);
    free(cipher);
}

bool tls_cipher_seekable(const struct tls_cipher *cipher)
{
    return cipher->mode != CBC || cipher->version > TLS_1_0;
}

static void make_nonce(const struct tls_cipher *cipher, uint64_t sequence, const uint8_t *body,
                       uint8_t *nonce)
{
    memcpy(nonce, cipher->iv, NONCE_BYTES);
    if (cipher->explicit_bytes) {
        memcpy(nonce + SALT_BYTES, body, EXPLICIT_BYTES);
        return;
    }
    /* RFC 8446 section 5.3, RFC 7905 section 2 */
    for (int i = NONCE_BYTES - 1; i >= NONCE_BYTES - 8; i--, sequence >>= 8)
        nonce[i] ^= (uint8_t)sequence;
}

static bool open_aead(struct tls_cipher *cipher, uint64_t sequence, const uint8_t *header,
                      const uint8_t *body, uint32_t bytes, uint8_t *plain, uint32_t *plain_bytes)
{
    uint32_t around = (uint32_t)cipher->explicit_bytes + cipher->tag_bytes;
    if (bytes < around)
        return false;
    uint32_t inner = bytes - around;
    uint8_t nonce[NONCE_BYTES], tag[16], additional[13];
    int additional_bytes = TLS_HEADER_BYTES, moved = 0;
    make_nonce(cipher, sequence, body, nonce);
    if (cipher->version == TLS_1_3) {
        memcpy(additional, header, TLS_HEADER_BYTES); /* RFC 8446 section 5.2 */
    } else { /* RFC 5246 section 6.2.3.3 */
        put_u64(additional, sequence);
        memcpy(additional + 8, header, 3);
        put_u16(additional + 11, inner);
        additional_bytes = 13;
    }
    /* A copy, because the context takes it without const. */
    memcpy(tag, body + bytes - cipher->tag_bytes, cipher->tag_bytes);
    body += cipher->explicit_bytes;
    EVP_CIPHER_CTX *context = cipher->context;
    const OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, tag, cipher->tag_bytes),
        OSSL_PARAM_construct_end(),
    };
    if (EVP_DecryptInit_ex2(context, NULL, NULL, nonce, params) != 1)
        return false;
    if (cipher->mode == CCM && EVP_DecryptUpdate(context, NULL, &moved, NULL, (int)inner) != 1)
        return false;
    if (EVP_DecryptUpdate(context, NULL, &moved, additional, additional_bytes) != 1)
        return false;
    *plain_bytes = inner;
    /* CCM tells here, the others in the last step, whether the tag fits. */
    return EVP_DecryptUpdate(context, plain, &moved, body, (int)inner) == 1 &&
           (cipher->mode == CCM || EVP_DecryptFinal_ex(context, plain + inner, &moved) == 1);
}

/* Over sequence, type, version, `bytes` and the data (RFC 5246 section 6.2.3.1, RFC 7366 section
 * 3). */
static bool mac_fits(struct tls_cipher *cipher, uint64_t sequence, const uint8_t *header,
                     const uint8_t *data, uint32_t bytes, const uint8_t *mac)
{
    uint8_t prefix[13], made[EVP_MAX_MD_SIZE];
    size_t made_bytes = 0;
    put_u64(prefix, sequence);
    memcpy(prefix + 8, header, 3);
    put_u16(prefix + 11, bytes);
    return EVP_MAC_init(cipher->mac, NULL, 0, NULL) == 1 &&
           EVP_MAC_update(cipher->mac, prefix, sizeof prefix) == 1 &&
           EVP_MAC_update(cipher->mac, data, bytes) == 1 &&
           EVP_MAC_final(cipher->mac, made, &made_bytes, sizeof made) == 1 &&
           made_bytes == cipher->mac_bytes && CRYPTO_memcmp(made, mac, made_bytes) == 0;
}

/* RFC 5246 section 6.2.3.2: its length in its last byte, and every byte says the same. */
static bool strip_padding(const uint8_t *plain, uint32_t *bytes)
{
    uint32_t padding = plain[*bytes - 1] + 1u;
    if (padding > *bytes)
        return false;
    for (uint32_t i = *bytes - padding; i < *bytes; i++)
        if (plain[i] != padding - 1)
            return false;
    *bytes -= padding;
    return true;
}

static bool open_cbc(struct tls_cipher *cipher, uint64_t sequence, const uint8_t *header,
                     const uint8_t *body, uint32_t bytes, uint8_t *plain, uint32_t *plain_bytes)
{
    uint32_t outside = cipher->explicit_bytes + (cipher->encrypt_then_mac ? cipher->mac_bytes : 0u);
    if (bytes < outside + BLOCK_BYTES || (bytes - outside) % BLOCK_BYTES)
        return false;
    uint32_t inner = bytes - outside;
    if (cipher->encrypt_then_mac &&
        !mac_fits(cipher, sequence, header, body, bytes - cipher->mac_bytes,
                  body + bytes - cipher->mac_bytes))
        return false;
    const uint8_t *sealed = body + cipher->explicit_bytes;
    uint8_t iv[BLOCK_BYTES], last[BLOCK_BYTES];
    memcpy(iv, cipher->explicit_bytes ? body : cipher->iv, BLOCK_BYTES);
    memcpy(last, sealed + inner - BLOCK_BYTES, BLOCK_BYTES);
    int moved = 0;
    if (EVP_DecryptInit_ex2(cipher->context, NULL, NULL, iv, NULL) != 1 ||
        EVP_DecryptUpdate(cipher->context, plain, &moved, sealed, (int)inner) != 1)
        return false;
    uint32_t content = inner;
    if (!strip_padding(plain, &content))
        return false;
    if (!cipher->encrypt_then_mac) {
        if (content < cipher->mac_bytes)
            return false;
        content -= cipher->mac_bytes;
        if (!mac_fits(cipher, sequence, header, plain, content, plain + content))
            return false;
    }
    if (!cipher->explicit_bytes)
        memcpy(cipher->iv, last, BLOCK_BYTES);
    *plain_bytes = content;
    return true;
}

/* RFC 8446 section 5.4: content, its type, zeros. */
static bool strip_inner(const uint8_t *plain, uint32_t *plain_bytes, uint8_t *content)
{
    uint32_t bytes = *plain_bytes;
    while (bytes && !plain[bytes - 1])
        bytes--;
    if (!bytes)
        return false;
    *content = plain[bytes - 1];
    *plain_bytes = bytes - 1;
    return true;
}

bool tls_cipher_record(struct tls_cipher *cipher, uint64_t sequence, const uint8_t *header,
                       const uint8_t *body, uint32_t bytes, uint8_t *plain,
                       uint32_t *plain_bytes, uint8_t *content)
{
    *content = header[0];
    bool opened = cipher->mode == CBC
                      ? open_cbc(cipher, sequence, header, body, bytes, plain, plain_bytes)
                      : open_aead(cipher, sequence, header, body, bytes, plain, plain_bytes);
    if (opened && cipher->version == TLS_1_3)
        opened = strip_inner(plain, plain_bytes, content);
    return opened && *plain_bytes <= TLS_PLAIN_BYTES_MAX;
}
