/* links: operations.c */
/* The table of operation counts, and the memory of what was handed up. */
#include <stdlib.h>

#include "check.h"
#include "operations.h"

static struct slice slice(const char *text)
{
    return (struct slice){(const uint8_t *)text, (uint32_t)strlen(text)};
}

static void check_services(void)
{
    static const struct {
        const char *target, *name, *service, *shown;
    } rows[] = {
        {"/sdk", "Login", "sdk", "Login"},
        {"/sdk/vimService?x=/y", "Login", "sdk", "Login"},
        {"/sdk?a", "Logout", "sdk", "Logout"},
        {"http://h:80/api/session", "POST", "api", "POST"},
        {"http://h", "GET", "", "GET"},
        {"http://h?q=/x", "GET", "", "GET"},
        {"/", "GET", "", "GET"},
        {"*", "OPTIONS", "", "OPTIONS"},
        {"h:443", "CONNECT", "", "CONNECT"},
        {"//x", "GET", "", "GET"},
        {"/a\x01\xff"
         "b /",
         "G\nT", "a??b?", "G?T"},
        {"/0123456789012345678901234567890123456789", "GET", "0123456789012345678901234567890",
         "GET"},
    };
    struct limits limits = {.operations_max = 100};
    struct counters counters = {0};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct operations *operations = operations_open(&limits, &counters);
        operations_count(operations, slice(rows[i].target), slice(rows[i].name), OUTCOME_FAILURE);
        operations_count(operations, slice(rows[i].target), slice(rows[i].name), OUTCOME_FAILURE);
        const struct operation_row *row = operations_row(operations, 0);
        CHECK(row && strcmp(row->name, rows[i].shown) == 0);
        CHECK(row && strcmp(row->service, rows[i].service) == 0);
        CHECK(row && row->count[OUTCOME_FAILURE] == 2 && row->count[OUTCOME_SUCCESS] == 0);
        CHECK(!operations_row(operations, 1));
        operations_close(operations);
    }
    CHECK(counters.value[COUNT_operations_uncounted] == 0);
}

static void check_bound(void)
{
    struct limits limits = {.operations_max = 100};
    struct counters counters = {0};
    struct operations *operations = operations_open(&limits, &counters);
    char name[16];
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 150; i++) {
            snprintf(name, sizeof name, "Op%d", i);
            operations_count(operations, slice("/sdk"), slice(name), (enum outcome)round);
        }
    }
    CHECK(counters.value[COUNT_operations_uncounted] == 150);
    for (uint32_t i = 0; i < 100; i++) {
        const struct operation_row *row = operations_row(operations, i);
        snprintf(name, sizeof name, "Op%u", i);
        CHECK(row && strcmp(row->name, name) == 0);
        CHECK(row && row->count[0] == 1 && row->count[1] == 1 && row->count[2] == 1);
    }
    CHECK(!operations_row(operations, 100));
    operations_close(operations);
    limits.operations_max = 0;
    operations = operations_open(&limits, &counters);
    operations_count(operations, slice("/sdk"), slice("Op"), OUTCOME_SUCCESS);
    CHECK(!operations_row(operations, 0) && counters.value[COUNT_operations_uncounted] == 151);
    operations_close(operations);
}

static uint64_t nth(uint64_t n)
{
    return (n + 1) * 0x9e3779b97f4a7c15u;
}

/* The last 65536 are known, what came before is forgotten in its order, whatever slots they fell
 * on. */
static void check_changes(void)
{
    enum { KNOWN = 65536, TOTAL = 200000 };
    struct changes *changes = changes_open();
    CHECK(changes_is_new(changes, 0));
    CHECK(!changes_is_new(changes, 0));
    for (uint64_t i = 0; i < TOTAL; i++)
        CHECK(changes_is_new(changes, nth(i)));
    for (uint64_t i = TOTAL - KNOWN; i < TOTAL; i++)
        CHECK(!changes_is_new(changes, nth(i)));
    CHECK(changes_is_new(changes, nth(TOTAL - KNOWN - 1)));
    CHECK(changes_is_new(changes, nth(TOTAL - KNOWN)));
    CHECK(!changes_is_new(changes, nth(TOTAL - KNOWN + 2)));
    /* all on one slot, over the end of the table */
    for (uint64_t i = 1; i <= 300; i++)
        CHECK(changes_is_new(changes, i << 32 | 0x1fff0));
    for (uint64_t i = 1; i <= 300; i++)
        CHECK(!changes_is_new(changes, i << 32 | 0x1fff0));
    changes_close(changes);
}

int main(void)
{
    check_services();
    check_bound();
    check_changes();
    return checks_report("operations");
}
