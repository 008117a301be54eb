/* Memory of a library that works on a peer's bytes, zlib or nghttp2: it counts in the budget and is
 * wiped before it goes back. */
#ifndef HOPTAP_BLOCK_H
#define HOPTAP_BLOCK_H

#include "budget.h"

/* NULL when memory is short. */
void *block_take(struct budget *budget, size_t bytes);
/* As realloc(): NULL leaves the old one as it is. */
void *block_resize(struct budget *budget, void *contents, size_t bytes);
/* Accepts NULL. */
void block_give(struct budget *budget, void *contents);

#endif
