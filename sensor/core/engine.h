/* The path of a packet in one worker: source -> decap -> flow -> stream -> protocol -> batch.
 *
 * A worker shares nothing with another but the interest, which is read-only. Reading files, or
 * interfaces without fanout, each worker sees every packet and keeps the flows whose hash is its own;
 * so packet time, and with it every time-out, is the same for any number of workers. */
#ifndef HOPTAP_ENGINE_H
#define HOPTAP_ENGINE_H

#include "batch.h"
#include "budget.h"
#include "counters.h"
#include "interest.h"
#include "bounds.h"
#include "operations.h"
#include "source.h"
#include "tls.h"

struct engine;

struct engine_options {
    struct limits limits;
    struct tls_limits tls_limits;
    const struct interest *interest; /* borrowed; outlives the engine */
    uint32_t worker, workers;
    bool decrypt; /* false: TLS is metadata, and nothing waits for a key */
    bool kernel_fanout; /* the kernel already split the packets between the workers */
    bool tapped;        /* the source is that of tap_open */
    /* Borrowed; NULL: every flow is read to its end. Only without `decrypt`. */
    struct cutter *cutter;
};

enum fill_verdict { FILL_MORE, FILL_END, FILL_ERROR };

/* Takes ownership of source, also on failure. */
struct engine *engine_open(struct source *source, const struct engine_options *options);

/* Runs until the batch is full, about timeout_ms have passed (live), or enough packets were read. After FILL_END
 * or FILL_ERROR every flow has been flushed into the batch. */
enum fill_verdict engine_fill(struct engine *engine, struct batch *batch, int timeout_ms);

/* Key log lines, for the next fill. From any thread, one at a time; false when too many wait. */
bool engine_add_secrets(struct engine *engine, enum tls_key_source source, const char *lines,
                        size_t bytes);
/* Adds the decryption secrets blocks of this file, if it is a regular pcapng file; anything else has none. False
 * when memory is short. */
bool engine_add_file_secrets(struct engine *engine, const char *path);
/* The same, of a worker that read them and has not been filled yet. */
bool engine_copy_secrets(struct engine *engine, struct engine *from);
/* What a tap says of TLS secrets is for this worker, too. Before the first fill; false: too many. */
bool engine_tell_secrets(struct engine *engine, struct engine *to);
/* Before the first fill. */
enum tls_rsa_verdict engine_add_rsa_key(struct engine *engine, const char *pem, size_t bytes);

/* From any thread: the next fill flushes every flow and ends; of a tap, once its ring was read. */
void engine_stop(struct engine *engine);

const char *engine_error(const struct engine *engine);
const struct counters *engine_counters(const struct engine *engine);
const struct tls_counters *engine_tls_counters(const struct engine *engine);
const struct operations *engine_operations(const struct engine *engine);
const struct budget *engine_budget(const struct engine *engine);
struct source *engine_source(const struct engine *engine);
void engine_close(struct engine *engine);

#endif
