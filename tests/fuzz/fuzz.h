/* What the targets share: limits small enough that every bound is met, an interest that wants
 * much, and a reader of the input. */
#ifndef HOPTAP_FUZZ_H
#define HOPTAP_FUZZ_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "interest.h"
#include "bounds.h"
#include "packet.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static const struct limits fuzz_limits = {
    .flows_max = 16,
    .flow_idle_timeout_ms = 60000,
    .flow_closed_timeout_ms = 1000,
    .memory_bytes_max = 256 * 1024,
    .stream_buffer_bytes_max = 16 * 1024,
    .stream_gap_timeout_ms = 2000,
    .stream_chunk_bytes_max = 4096,
    .fragment_timeout_ms = 5000,
    .fragment_datagrams_max = 4,
    .duplicate_window_ms = 20,
    .http_head_bytes_max = 4096,
    .http_body_bytes_max = 8192,
    .http_pipeline_max = 4,
    .http2_streams_max = 8,
    .http_tokens_per_flow_max = 4,
    .operations_max = 16,
};

static inline struct interest *fuzz_interest(void)
{
    static const char *const texts[] = {"<", "e"};
    const struct needles some = {texts, 2}, none = {NULL, 0};
    struct interest *interest = interest_open();
    const unsigned bodies = WANT_REQUEST_BODY | WANT_RESPONSE_BODY;
    interest_add_operation(interest, "Login*", bodies, none, none);
    interest_add_operation(interest, "Retrieve*", bodies | WANT_CHANGED_ONLY, some, some);
    interest_add_operation(interest, "*_Task", WANT_REQUEST_BODY, none, some);
    interest_add_operation(interest, "*", WANT_FAILED_ONLY, none, none);
    interest_add_path(interest, "POST", "/api/*", bodies, some, none);
    interest_add_path(interest, "*", "/rest/*", bodies, none, none);
    interest_add_token_header(interest, "Authorization");
    interest_add_token_cookie(interest, "vmware_soap_session");
    interest_add_port(interest, PROTO_TCP, 902);
    interest_add_port(interest, PROTO_UDP, 902);
    return interest;
}

/* Takes numbers and stretches of bytes from the front of the input; zeros past its end. */
struct input {
    const uint8_t *data;
    size_t bytes;
};

static inline uint8_t take_byte(struct input *input)
{
    if (!input->bytes)
        return 0;
    input->bytes--;
    return *input->data++;
}

static inline uint16_t take_number(struct input *input)
{
    uint8_t low = take_byte(input);
    return (uint16_t)(low | take_byte(input) << 8);
}

/* A copy of its own size, so that a byte read past it is found; the caller frees it. */
static inline uint8_t *take_copy(struct input *input, size_t *bytes)
{
    if (*bytes > input->bytes)
        *bytes = input->bytes;
    uint8_t *copy = malloc(*bytes ? *bytes : 1);
    if (!copy)
        abort();
    memcpy(copy, input->data, *bytes);
    input->data += *bytes;
    input->bytes -= *bytes;
    return copy;
}

#endif
