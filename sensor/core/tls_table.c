#include "tls_table.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

static uint64_t fold(uint64_t a, uint64_t b)
{
    unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* The folded multiplication of wyhash, over secret words; names are of one size. */
uint64_t tls_name_hash(const uint64_t seed[TLS_SEED_WORDS], const struct tls_name *name)
{
    uint64_t word[4];
    memcpy(word, name->bytes, sizeof word);
    return fold(fold(word[0] ^ seed[0], word[1] ^ seed[1]) ^ seed[4],
                fold(word[2] ^ seed[2], word[3] ^ seed[3]) ^ seed[5] ^ name->label);
}

struct tls_name tls_name_of(enum tls_label label, struct slice bytes)
{
    struct tls_name name = {.label = (uint8_t)label};
    if (bytes.bytes)
        memcpy(name.bytes, bytes.data,
               bytes.bytes < TLS_NAME_BYTES ? bytes.bytes : TLS_NAME_BYTES);
    return name;
}

bool tls_table_open(struct tls_table *table, uint64_t room, const uint64_t *seed)
{
    *table = (struct tls_table){.seed = seed};
    if (room < 1 || room > 1u << 30 ||
        !tls_vault_open(&table->vault, sizeof(struct tls_slot), room))
        return false;
    uint32_t buckets = 16;
    while (buckets < room)
        buckets *= 2;
    table->bucket_mask = buckets - 1;
    table->buckets = calloc(buckets, sizeof *table->buckets); /* pages come with use */
    return table->buckets != NULL;
}

static struct tls_slot *slots(const struct tls_table *table)
{
    return (struct tls_slot *)(void *)table->vault.region;
}

static uint32_t *bucket_of(const struct tls_table *table, const struct tls_name *name)
{
    return &table->buckets[tls_name_hash(table->seed, name) & table->bucket_mask];
}

static struct tls_slot *find(const struct tls_table *table, const struct tls_name *name)
{
    for (uint32_t at = *bucket_of(table, name); at; at = slots(table)[at - 1].next) {
        struct tls_slot *slot = &slots(table)[at - 1];
        if (memcmp(&slot->name, name, sizeof *name) == 0)
            return slot;
    }
    return NULL;
}

const struct tls_slot *tls_table_find(const struct tls_table *table, const struct tls_name *name)
{
    return find(table, name);
}

static void forget(struct tls_table *table, uint32_t index)
{
    struct tls_slot *slot = &slots(table)[index];
    uint32_t *link = bucket_of(table, &slot->name);
    while (*link != index + 1)
        link = &slots(table)[*link - 1].next;
    *link = slot->next;
    OPENSSL_cleanse(slot, sizeof *slot);
}

static void set_value(struct tls_slot *slot, struct slice value, uint8_t source)
{
    OPENSSL_cleanse(slot->value, sizeof slot->value);
    slot->source = source;
    slot->value_bytes = (uint8_t)value.bytes;
    memcpy(slot->value, value.data, value.bytes);
}

enum tls_put tls_table_put(struct tls_table *table, const struct tls_name *name,
                           struct slice value, uint8_t source)
{
    struct tls_slot *slot = find(table, name);
    if (slot) {
        if (slot->value_bytes == value.bytes &&
            CRYPTO_memcmp(slot->value, value.data, value.bytes) == 0)
            return TLS_PUT_KNOWN;
        set_value(slot, value, source);
        return TLS_PUT_NEW;
    }
    enum tls_put put = TLS_PUT_NEW;
    slot = tls_vault_take(&table->vault);
    if (!slot) {
        slot = &slots(table)[table->oldest];
        forget(table, table->oldest);
        table->oldest = (uint32_t)((table->oldest + 1) % table->vault.room);
        put = TLS_PUT_FORGOT_ONE;
    }
    uint32_t *bucket = bucket_of(table, name);
    slot->name = *name;
    slot->next = *bucket;
    set_value(slot, value, source);
    *bucket = (uint32_t)(slot - slots(table)) + 1;
    return put;
}

void tls_table_close(struct tls_table *table)
{
    free(table->buckets);
    tls_vault_close(&table->vault);
    *table = (struct tls_table){0};
}
