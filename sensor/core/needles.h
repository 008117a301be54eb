/* Whether a body holds any of a few texts, in one pass over it. */
#ifndef HOPTAP_NEEDLES_H
#define HOPTAP_NEEDLES_H

#include <stdbool.h>
#include <stddef.h>

#include "transaction.h"

struct needle_set;

/* Copies the texts. NULL when memory is short. */
struct needle_set *needle_set_open(const char *const *text, size_t count);
bool needle_set_in(const struct needle_set *set, struct slice body);
void needle_set_close(struct needle_set *set);

#endif
