/* Frames through the whole core: decap, fragments, flows, streams, HTTP, batch.
 *
 * Input: first byte: which link type; then for each packet the time since the last one (one byte,
 * in steps of 10 ms), its length (two bytes) and its bytes. */
#include "engine.h"
#include "fuzz.h"
#include "source.h"

struct fuzz_source {
    struct source source;
    struct input input;
    uint8_t *frame; /* owned; replaced by the next packet's */
    uint64_t time_ns, ordinal;
    uint16_t link;
};

static enum source_verdict next(struct source *source, struct packet *packet, int timeout_ms)
{
    (void)timeout_ms;
    struct fuzz_source *self = (struct fuzz_source *)source;
    free(self->frame);
    self->frame = NULL;
    if (!self->input.bytes)
        return SOURCE_END;
    self->time_ns += take_byte(&self->input) * 10000000ull;
    size_t bytes = take_number(&self->input);
    self->frame = take_copy(&self->input, &bytes);
    *packet = (struct packet){
        .data = self->frame,
        .captured_bytes = (uint32_t)bytes,
        .wire_bytes = (uint32_t)bytes,
        .time_ns = self->time_ns,
        .ordinal = self->ordinal++,
        .link = self->link,
    };
    return SOURCE_PACKET;
}

static void close_source(struct source *source)
{
    struct fuzz_source *self = (struct fuzz_source *)source;
    free(self->frame);
    free(self);
}

static const struct source_ops ops = {.next = next, .close = close_source};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static const uint16_t links[] = {LINK_ETHERNET,  LINK_RAW,        LINK_NULL,
                                     LINK_LINUX_SLL, LINK_LINUX_SLL2, LINK_LOOP};
    static struct interest *interest;
    if (!interest)
        interest = fuzz_interest();
    struct fuzz_source *source = calloc(1, sizeof *source);
    if (!source)
        abort();
    source->source.ops = &ops;
    source->input = (struct input){data, bytes};
    source->time_ns = 1700000000000000000ull;
    source->link = links[take_byte(&source->input) % (sizeof links / sizeof *links)];
    struct engine_options options = {.limits = fuzz_limits, .interest = interest, .workers = 1};
    struct engine *engine = engine_open(&source->source, &options);
    struct batch *batch = batch_open();
    if (!engine || !batch)
        abort();
    while (engine_fill(engine, batch, 0) == FILL_MORE) {
        batch_close(batch);
        batch = batch_open();
    }
    batch_close(batch);
    engine_close(engine);
    return 0;
}
