/* Memory for secrets: left out of core files and of children, locked as it is first used, wiped
 * when given back. One region of fixed-size cells; address space is reserved at once, pages come
 * with use. */
#ifndef HOPTAP_TLS_VAULT_H
#define HOPTAP_TLS_VAULT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tls_vault {
    uint8_t *region; /* owned by tls_vault; wiped and unmapped in tls_vault_close */
    size_t cell_bytes, room, used;
    size_t locked_bytes, unlocked_bytes; /* of what was used so far */
    void *spare;                         /* cells given back, linked through their first bytes */
};

bool tls_vault_open(struct tls_vault *vault, size_t cell_bytes, size_t room);
/* Zeroed; NULL when all are taken. */
void *tls_vault_take(struct tls_vault *vault);
/* Wipes; accepts NULL. */
void tls_vault_give(struct tls_vault *vault, void *cell);
void tls_vault_close(struct tls_vault *vault);

#endif
