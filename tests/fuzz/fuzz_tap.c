/* Events of a tap through the core: ring, sessions, flows, HTTP, batch.
 *
 * Input: first byte: even, the rest are records of a whole ring, each with its length (two bytes)
 * before it; odd, the rest is the ring as it is, behind its producer's position (two bytes). No event
 * has a descriptor: what this machine's processes have open is no input. */
#include <sys/mman.h>
#include <unistd.h>

#include "engine.h"
#include "fuzz.h"
#include "tap.h"

enum { RING_BYTES = 1 << 17, PAGE = 4096, HEAD_BYTES = 8 };

static uint8_t *ring;
static int ring_fd;

static void make_ring(void)
{
    ring_fd = memfd_create("ring", MFD_CLOEXEC);
    if (ring_fd < 0 || ftruncate(ring_fd, 2 * PAGE + RING_BYTES) < 0)
        abort();
    ring = mmap(NULL, 2 * PAGE + RING_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, ring_fd, 0);
    if (ring == MAP_FAILED)
        abort();
}

static void forget_descriptor(uint8_t *record, size_t bytes)
{
    static const int32_t none = -1;
    if (bytes >= offsetof(struct tap_event, fd) + sizeof none)
        memcpy(record + offsetof(struct tap_event, fd), &none, sizeof none);
}

static void set_produced(uint64_t produced)
{
    memcpy(ring + PAGE, &produced, sizeof produced);
}

static void put_records(struct input *input)
{
    uint64_t at = 0;
    while (input->bytes) {
        size_t bytes = take_number(input);
        uint8_t *record = take_copy(input, &bytes);
        size_t whole = (HEAD_BYTES + bytes + 7) & ~(size_t)7;
        if (whole <= RING_BYTES - at) {
            uint8_t *to = ring + 2 * PAGE + at;
            uint32_t head = (uint32_t)bytes;
            forget_descriptor(record, bytes);
            memcpy(to, &head, sizeof head);
            memcpy(to + HEAD_BYTES, record, bytes);
            at += whole;
        }
        free(record);
    }
    set_produced(at);
}

static void put_ring(struct input *input)
{
    uint64_t produced = take_number(input);
    size_t bytes = input->bytes < RING_BYTES ? input->bytes : RING_BYTES;
    uint8_t *data = ring + 2 * PAGE;
    memcpy(data, input->data, bytes);
    for (size_t at = 0; at + HEAD_BYTES < bytes; at += 8) /* wherever a record may begin */
        forget_descriptor(data + at + HEAD_BYTES, bytes - at - HEAD_BYTES);
    set_produced(produced);
}

static struct engine *open_engine(const struct interest *interest)
{
    char error[SOURCE_ERROR_BYTES];
    struct engine_options options = {
        .limits = fuzz_limits,
        .tls_limits = {.tls_secrets_max = 64, .tls_tickets_max = 16, .tls_held_timeout_ms = 2000},
        .interest = interest,
        .workers = 1,
        .decrypt = true,
        .tapped = true,
    };
    struct source *source = tap_open(ring_fd, error);
    struct engine *engine = source ? engine_open(source, &options) : NULL;
    if (!engine)
        abort();
    return engine;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static struct interest *interest;
    if (!interest) {
        interest = fuzz_interest();
        make_ring();
    }
    memset(ring, 0, 2 * PAGE);
    struct input input = {data, bytes};
    if (take_byte(&input) % 2)
        put_ring(&input);
    else
        put_records(&input);
    struct engine *engine = open_engine(interest);
    if (!engine_tell_secrets(engine, engine))
        abort();
    for (int fills = 0; fills < 4; fills++) {
        struct batch *batch = batch_open();
        if (!batch)
            abort();
        if (fills == 3)
            engine_stop(engine);
        engine_fill(engine, batch, 0);
        batch_close(batch);
    }
    engine_close(engine);
    return 0;
}
