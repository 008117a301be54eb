#include "pending.h"

#include <stdlib.h>
#include <string.h>

/* The names of a SOAP call fit in this, nearly always. */
enum { NAMES_ROOM_BYTES = 192 };

static struct slice copy_text(struct pending *pending, struct slice from)
{
    uint8_t *to = pending->text + pending->text_bytes;
    if (from.bytes)
        memcpy(to, from.data, from.bytes);
    pending->text_bytes += from.bytes;
    return (struct slice){to, from.bytes};
}

static bool is_word(struct slice slice, const char *word)
{
    return slice.bytes == strlen(word) && memcmp(slice.data, word, slice.bytes) == 0;
}

struct pending *pending_open(struct budget *budget, const struct http_head *head,
                             uint64_t request_ns)
{
    uint32_t room = head->method.bytes + head->target.bytes + head->lines.bytes + NAMES_ROOM_BYTES;
    size_t bytes = sizeof(struct pending) + room;
    if (!budget_take(budget, bytes))
        return NULL;
    struct pending *pending = malloc(bytes);
    if (!pending) {
        budget_give(budget, bytes);
        return NULL;
    }
    memset(pending, 0, sizeof *pending);
    pending->text_room = room;
    pending->method = copy_text(pending, head->method);
    pending->target = copy_text(pending, head->target);
    pending->request_head = copy_text(pending, head->lines);
    pending->request_ns = request_ns;
    pending->expect_continue = head->expect_continue;
    pending->is_head = is_word(head->method, "HEAD");
    pending->is_connect = is_word(head->method, "CONNECT");
    return pending;
}

static void close_body(struct budget *budget, struct body *body)
{
    if (!body)
        return;
    body_free(body);
    free(body);
    budget_give(budget, sizeof *body);
}

void pending_close(struct pending *pending, struct budget *budget)
{
    if (!pending)
        return;
    size_t bytes = sizeof *pending + pending->text_room;
    close_body(budget, pending->request_body);
    close_body(budget, pending->response_body);
    kept_free(&pending->names, budget);
    kept_free(&pending->response_head, budget);
    explicit_bzero(pending->text, pending->text_bytes);
    free(pending);
    budget_give(budget, bytes);
}
