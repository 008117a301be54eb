/* links: signature.c */
/* Ed25519: a vector of RFC 8032, and what is no key, no signature, or of other bytes. */
#include "signature.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdbool.h>

#include "check.h"

/* RFC 8032 section 7.1, TEST 2 */
static const uint8_t secret[32] = {
    0x4c, 0xcd, 0x08, 0x9b, 0x28, 0xff, 0x96, 0xda, 0x9d, 0xb6, 0xc3, 0x46, 0xec, 0x11, 0x4e, 0x0f,
    0x5b, 0x8a, 0x31, 0x9f, 0x35, 0xab, 0xa6, 0x24, 0xda, 0x8c, 0xf6, 0xed, 0x4f, 0xb8, 0xa6, 0xfb};
static const uint8_t public_half[32] = {
    0x3d, 0x40, 0x17, 0xc3, 0xe8, 0x43, 0x89, 0x5a, 0x92, 0xb7, 0x0a, 0xa7, 0x4d, 0x1b, 0x7e, 0xbc,
    0x9c, 0x98, 0x2c, 0xcf, 0x2e, 0xc4, 0x96, 0x8c, 0xc0, 0xcd, 0x55, 0xf1, 0x2a, 0xf4, 0x66, 0x0c};
static const uint8_t expected[SIGNATURE_BYTES] = {
    0x92, 0xa0, 0x09, 0xa9, 0xf0, 0xd4, 0xca, 0xb8, 0x72, 0x0e, 0x82, 0x0b, 0x5f, 0x64, 0x25, 0x40,
    0xa2, 0xb2, 0x7b, 0x54, 0x16, 0x50, 0x3f, 0x8f, 0xb3, 0x76, 0x22, 0x23, 0xeb, 0xdb, 0x69, 0xda,
    0x08, 0x5a, 0xc1, 0xe4, 0x3e, 0x15, 0x99, 0x6e, 0x45, 0x8f, 0x36, 0x13, 0xd0, 0xf1, 0x1d, 0x8c,
    0x38, 0x7b, 0x2e, 0xae, 0xb4, 0x30, 0x2a, 0xee, 0xb0, 0x0d, 0x29, 0x16, 0x12, 0xbb, 0x0c, 0x00};

/* PEM of a key, against the unreadable page. */
static struct signed_bytes pem_of(EVP_PKEY *key, bool is_private)
{
    BIO *bio = BIO_new(BIO_s_mem());
    if (is_private)
        PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL);
    else
        PEM_write_bio_PUBKEY(bio, key);
    char *text;
    long bytes = BIO_get_mem_data(bio, &text);
    struct signed_bytes pem = {guarded(text, (size_t)bytes), (size_t)bytes};
    BIO_free(bio);
    return pem;
}

static struct signed_bytes bytes_of(const void *data, size_t bytes)
{
    return (struct signed_bytes){guarded(data, bytes), bytes};
}

static void check_vector(struct signed_bytes private_pem, struct signed_bytes public_pem)
{
    uint8_t signature[SIGNATURE_BYTES], raw[SIGNATURE_KEY_BYTES];
    struct signed_bytes message = bytes_of("\x72", 1);
    CHECK(signature_make(private_pem, message, signature) == SIGNATURE_GOOD);
    CHECK(!memcmp(signature, expected, sizeof expected));
    CHECK(signature_public(private_pem, raw) == SIGNATURE_GOOD);
    CHECK(!memcmp(raw, public_half, sizeof raw));
    CHECK(signature_public(public_pem, raw) == SIGNATURE_GOOD);
    CHECK(!memcmp(raw, public_half, sizeof raw));
    struct signed_bytes made = bytes_of(signature, sizeof signature);
    CHECK(signature_check(raw, message, made) == SIGNATURE_GOOD);
    CHECK(signature_check(raw, bytes_of("\x73", 1), made) == SIGNATURE_BAD);
    CHECK(signature_check(raw, bytes_of("", 0), made) == SIGNATURE_BAD);
    made.bytes--;
    CHECK(signature_check(raw, message, made) == SIGNATURE_BAD);
    for (size_t bit = 0; bit < 8 * sizeof signature; bit++) {
        uint8_t other[SIGNATURE_BYTES];
        memcpy(other, signature, sizeof other);
        other[bit / 8] ^= (uint8_t)(1 << bit % 8);
        CHECK(signature_check(raw, message, bytes_of(other, sizeof other)) == SIGNATURE_BAD);
    }
}

static void check_no_key(struct signed_bytes public_pem)
{
    uint8_t signature[SIGNATURE_BYTES], raw[SIGNATURE_KEY_BYTES];
    struct signed_bytes message = bytes_of("\x72", 1);
    CHECK(signature_make(bytes_of("", 0), message, signature) == SIGNATURE_NOT_A_KEY);
    CHECK(signature_make(bytes_of("my notes", 8), message, signature) == SIGNATURE_NOT_A_KEY);
    CHECK(signature_make(public_pem, message, signature) == SIGNATURE_NOT_A_KEY);
    CHECK(signature_public(bytes_of("my notes", 8), raw) == SIGNATURE_NOT_A_KEY);
    EVP_PKEY *curve = EVP_EC_gen("P-256");
    CHECK(signature_make(pem_of(curve, true), message, signature) == SIGNATURE_NOT_ED25519);
    CHECK(signature_public(pem_of(curve, false), raw) == SIGNATURE_NOT_ED25519);
    EVP_PKEY_free(curve);
}

int main(void)
{
    EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, secret, sizeof secret);
    CHECK(key);
    struct signed_bytes private_pem = pem_of(key, true), public_pem = pem_of(key, false);
    EVP_PKEY_free(key);
    check_vector(private_pem, public_pem);
    check_no_key(public_pem);
    return checks_report("signature");
}
