/* A message body somebody asked for: its content codings undone as it comes, bounded in what it
 * expands to.
 *
 * What cannot be kept is left out at the end, never in the middle: once a body is cut, met a gap or
 * cannot be decoded, it stays as it is. */
#ifndef HOPTAP_BODY_H
#define HOPTAP_BODY_H

#include "counters.h"
#include "kept.h"

/* RFC 9110 section 8.4.1. CODING_OTHER: one we cannot undo (br, zstd, compress, ...). */
enum coding { CODING_GZIP, CODING_DEFLATE, CODING_OTHER };

/* Nobody sends more than two; each costs an inflater. */
enum { CODINGS_MAX = 4 };

struct codings {
    uint8_t coding[CODINGS_MAX]; /* enum coding, in the order they were applied */
    uint8_t count;
};

struct inflater;

struct body {
    struct kept kept;
    struct budget *budget;
    struct counters *counters;
    struct inflater *inflater[CODINGS_MAX]; /* owned; freed in body_free */
    uint32_t limit_bytes;
    uint8_t stages;
    bool stopped; /* takes no more */
    bool cut;     /* not the whole body, for another reason than a gap */
};

void body_open(struct body *body, const struct codings *codings, uint64_t limit_bytes,
               struct budget *budget, struct counters *counters);
/* How long the content is said to be, 0 for unknown: room made at once is not copied as it grows.
 */
void body_expect(struct body *body, uint64_t bytes);
void body_append(struct body *body, const uint8_t *data, uint32_t bytes);
/* Bytes are missing here: what follows is not part of what is kept. */
void body_gap(struct body *body);
/* The message is complete. */
void body_end(struct body *body);
void body_free(struct body *body);

#endif
