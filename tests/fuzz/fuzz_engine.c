/* Frames through the whole core: decap, fragments, flows, streams, TLS, HTTP, batch.
 *
 * Input: first byte: which link type; then key log lines (two bytes of length before them); then
 * for each packet the time since the last one (one byte, in steps of 10 ms), its length (two bytes)
 * and its bytes. */
#include "engine.h"
#include "fuzz.h"
#include "source.h"

/* draft-ietf-opsawg-pcapng: secrets type of a TLS key log, "TLSK" */
enum { KEY_LOG = 0x544c534b };

struct fuzz_source {
    struct source source;
    struct input input;
    uint8_t *frame; /* owned; replaced by the next packet's */
    uint8_t *keys;  /* owned; freed in close_source */
    size_t key_bytes;
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
    free(self->keys);
    free(self);
}

static void stats(const struct source *source, struct source_stats *stats)
{
    (void)source;
    *stats = (struct source_stats){0};
}

static const uint8_t *secret(const struct source *source, size_t index, uint32_t *secrets_type,
                             size_t *bytes)
{
    const struct fuzz_source *self = (const struct fuzz_source *)source;
    *secrets_type = KEY_LOG;
    *bytes = self->key_bytes;
    return index == 0 && self->key_bytes ? self->keys : NULL;
}

static int descriptor(const struct source *source)
{
    (void)source;
    return -1;
}

static const struct source_ops ops = {next, stats, secret, descriptor, close_source};

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
    source->key_bytes = take_number(&source->input);
    source->keys = take_copy(&source->input, &source->key_bytes);
    const struct tls_limits tls_limits = {
        .tls_secrets_max = 64,
        .tls_tickets_max = 16,
        .tls_held_bytes_max = 8192,
        .tls_held_total_bytes_max = 32 * 1024,
        .tls_held_timeout_ms = 2000,
    };
    struct engine_options options = {
        .limits = fuzz_limits,
        .tls_limits = tls_limits,
        .interest = interest,
        .workers = 1,
        .decrypt = true,
    };
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
