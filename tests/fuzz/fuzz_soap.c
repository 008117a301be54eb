/* links: soap.c */
/* A request body that grows: the first byte chooses by how much. Invariant: spans lie inside, the
 * scan goes on and never back, and the result is the one of the whole body. */
#include "fuzz.h"
#include "soap.h"

static void require(int condition)
{
    if (!condition)
        abort();
}

static void check_span(struct soap_span span, uint32_t bytes)
{
    require(span.bytes <= SOAP_TEXT_BYTES_MAX);
    require(span.bytes == 0 || (span.at < bytes && span.bytes <= bytes - span.at));
}

static enum soap_verdict scan_growing(struct soap_scan *scan, const uint8_t *body, uint32_t bytes,
                                      uint32_t step)
{
    enum soap_verdict verdict = SOAP_MORE;
    for (uint32_t have = 0; have < bytes && verdict == SOAP_MORE;) {
        uint32_t before = scan->at;
        have += step < bytes - have ? step : bytes - have;
        uint8_t *copy = malloc(have);
        memcpy(copy, body, have);
        verdict = soap_scan(scan, copy, have);
        free(copy);
        require(scan->at >= before && scan->at <= have);
    }
    return verdict;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    if (bytes < 2 || bytes > 1 << 16)
        return 0;
    uint32_t body_bytes = (uint32_t)bytes - 1;
    struct soap_scan whole = {0}, grown = {0};
    enum soap_verdict verdict = scan_growing(&whole, data + 1, body_bytes, body_bytes);
    require(scan_growing(&grown, data + 1, body_bytes, 1u + data[0]) == verdict);
    check_span(whole.operation, body_bytes);
    check_span(whole.this_type, body_bytes);
    check_span(whole.this_id, body_bytes);
    check_span(whole.operation_id, body_bytes);
    require(whole.operation_at < body_bytes);
    if (verdict != SOAP_NONE)
        require(memcmp(&whole, &grown, sizeof whole) == 0);
    return 0;
}
