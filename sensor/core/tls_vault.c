#include "tls_vault.h"

#include <openssl/crypto.h>
#include <string.h>
#include <sys/mman.h>

enum { LOCK_BYTES = 64 << 10 }; /* how much is locked at a time */

bool tls_vault_open(struct tls_vault *vault, size_t cell_bytes, size_t room)
{
    *vault = (struct tls_vault){.cell_bytes = cell_bytes, .room = room};
    if (!room || cell_bytes < sizeof vault->spare || room > SIZE_MAX / 2 / cell_bytes)
        return false;
    void *region = mmap(NULL, cell_bytes * room, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (region == MAP_FAILED)
        return false;
    vault->region = region;
    return madvise(region, cell_bytes * room, MADV_DONTDUMP) == 0 &&
           madvise(region, cell_bytes * room, MADV_DONTFORK) == 0;
}

/* A lock refused is not an error here: the site's RLIMIT_MEMLOCK says how much, and we report
 * it. */
static void lock_next(struct tls_vault *vault)
{
    size_t from = vault->locked_bytes + vault->unlocked_bytes;
    size_t all = vault->cell_bytes * vault->room;
    size_t bytes = all - from < LOCK_BYTES ? all - from : LOCK_BYTES;
    if (mlock(vault->region + from, bytes) == 0)
        vault->locked_bytes += bytes;
    else
        vault->unlocked_bytes += bytes;
}

void *tls_vault_take(struct tls_vault *vault)
{
    void *cell = vault->spare;
    if (cell) {
        memcpy(&vault->spare, cell, sizeof vault->spare);
        memset(cell, 0, sizeof vault->spare);
        return cell;
    }
    if (vault->used == vault->room)
        return NULL;
    size_t end = (vault->used + 1) * vault->cell_bytes;
    while (vault->locked_bytes + vault->unlocked_bytes < end)
        lock_next(vault);
    return vault->region + vault->used++ * vault->cell_bytes;
}

void tls_vault_give(struct tls_vault *vault, void *cell)
{
    if (!cell)
        return;
    OPENSSL_cleanse(cell, vault->cell_bytes);
    memcpy(cell, &vault->spare, sizeof vault->spare);
    vault->spare = cell;
}

void tls_vault_close(struct tls_vault *vault)
{
    if (vault->region) {
        OPENSSL_cleanse(vault->region, vault->used * vault->cell_bytes);
        munmap(vault->region, vault->cell_bytes * vault->room);
    }
    *vault = (struct tls_vault){0};
}
