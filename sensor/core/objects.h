/* Which managed objects a property read names, found without a tree: the answer to "does this
 * poll say anything about an object that was not said before?" */
#ifndef HOPTAP_OBJECTS_H
#define HOPTAP_OBJECTS_H

#include "interest.h"
#include "operations.h"
#include "transaction.h"

/* True when `body` (ObjectContent or ObjectUpdate elements of vim25) gives an object of this server a value, by
 * one of the properties of interest_add_object_property, that it had not been seen with. All of the
 * body is remembered. One pass, linear. */
bool objects_are_new(const struct interest *interest, struct changes *changes,
                     const uint8_t server[ADDRESS_BYTES], struct slice body);

#endif
