/* What is counted of traffic nobody asked to see: transactions by service, operation and outcome.
 * A bounded table; past operations_max new rows are counted in operations_uncounted. */
#ifndef HOPTAP_OPERATIONS_H
#define HOPTAP_OPERATIONS_H

#include <stdint.h>

#include "counters.h"
#include "bounds.h"
#include "transaction.h"

enum outcome { OUTCOME_SUCCESS, OUTCOME_FAILURE, OUTCOME_UNKNOWN, OUTCOMES };

enum { OPERATION_SERVICE_CHARS = 32, OPERATION_NAME_CHARS = 64 };

struct operation_row {
    char service[OPERATION_SERVICE_CHARS]; /* first segment of the path: "sdk", "api", ... */
    char name[OPERATION_NAME_CHARS];       /* SOAP operation, else the HTTP method */
    uint64_t count[OUTCOMES];
};

struct operations;

struct operations *operations_open(const struct limits *limits, struct counters *counters);
void operations_count(struct operations *operations, struct slice target, struct slice name,
                      enum outcome outcome);
/* Row by index; NULL past the last. */
const struct operation_row *operations_row(const struct operations *operations, uint32_t index);
void operations_close(struct operations *operations);

/* Remembers (bounded, oldest forgotten) hashes of what was handed up, for WANT_CHANGED_ONLY. */
struct changes;

struct changes *changes_open(void);
bool changes_is_new(struct changes *changes, uint64_t hash);
void changes_close(struct changes *changes);

#endif
