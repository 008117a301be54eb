#include "intake.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* A million lines of a busy proxy's key log are 180 MB; more than this at once is no key log. */
enum { WAITING_BYTES_MAX = 512 << 20 };

struct parcel {
    struct parcel *next;
    enum tls_key_source source;
    size_t bytes;
    char lines[]; /* wiped in parcel_free */
};

struct intake {
    pthread_mutex_t mutex;
    struct parcel *first, *last; /* owned; guarded by mutex, as waiting_bytes */
    size_t waiting_bytes;
    atomic_bool waiting; /* so that a fill without news does not lock */
    atomic_uint holders;
};

struct intake *intake_open(void)
{
    struct intake *intake = calloc(1, sizeof *intake);
    if (!intake || pthread_mutex_init(&intake->mutex, NULL)) {
        free(intake);
        return NULL;
    }
    atomic_store(&intake->holders, 1);
    return intake;
}

struct intake *intake_share(struct intake *intake)
{
    atomic_fetch_add(&intake->holders, 1);
    return intake;
}

static void parcel_free(struct parcel *parcel)
{
    explicit_bzero(parcel->lines, parcel->bytes);
    free(parcel);
}

static bool append(struct intake *intake, struct parcel *parcel)
{
    if (parcel->bytes > WAITING_BYTES_MAX - intake->waiting_bytes)
        return false;
    if (intake->last)
        intake->last->next = parcel;
    else
        intake->first = parcel;
    intake->last = parcel;
    intake->waiting_bytes += parcel->bytes;
    return true;
}

bool intake_add(struct intake *intake, enum tls_key_source source, const char *lines, size_t bytes)
{
    if (bytes > WAITING_BYTES_MAX)
        return false;
    struct parcel *parcel = malloc(sizeof *parcel + bytes);
    if (!parcel)
        return false;
    *parcel = (struct parcel){.source = source, .bytes = bytes};
    memcpy(parcel->lines, lines, bytes);
    pthread_mutex_lock(&intake->mutex);
    bool added = append(intake, parcel);
    pthread_mutex_unlock(&intake->mutex);
    if (added)
        atomic_store(&intake->waiting, true);
    else
        parcel_free(parcel);
    return added;
}

bool intake_copy(struct intake *to, struct intake *from)
{
    bool added = true;
    pthread_mutex_lock(&from->mutex);
    for (const struct parcel *each = from->first; added && each; each = each->next)
        added = intake_add(to, each->source, each->lines, each->bytes);
    pthread_mutex_unlock(&from->mutex);
    return added;
}

static struct parcel *take_all(struct intake *intake)
{
    pthread_mutex_lock(&intake->mutex);
    struct parcel *first = intake->first;
    intake->first = intake->last = NULL;
    intake->waiting_bytes = 0;
    atomic_store(&intake->waiting, false);
    pthread_mutex_unlock(&intake->mutex);
    return first;
}

bool intake_drain(struct intake *intake,
                  void (*line)(void *context, enum tls_key_source source, const char *line,
                               size_t bytes),
                  void *context)
{
    if (!atomic_load(&intake->waiting))
        return false;
    struct parcel *parcel = take_all(intake);
    bool any = parcel != NULL;
    while (parcel) {
        const char *at = parcel->lines, *end = parcel->lines + parcel->bytes;
        while (at < end) {
            const char *stop = memchr(at, '\n', (size_t)(end - at));
            if (!stop)
                stop = end;
            line(context, parcel->source, at, (size_t)(stop - at));
            at = stop + 1;
        }
        struct parcel *next = parcel->next;
        parcel_free(parcel);
        parcel = next;
    }
    return any;
}

void intake_close(struct intake *intake)
{
    if (!intake || atomic_fetch_sub(&intake->holders, 1) > 1)
        return;
    struct parcel *parcel = take_all(intake);
    while (parcel) {
        struct parcel *next = parcel->next;
        parcel_free(parcel);
        parcel = next;
    }
    pthread_mutex_destroy(&intake->mutex);
    free(intake);
}
