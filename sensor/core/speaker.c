#include "speaker.h"

#include <stdbool.h>

#include "authd.h"
#include "framing.h"
#include "http1_start.h"
#include "http2.h"

/* Fewer bytes begin too many things. */
enum { TELLING_BYTES = 4 };

static bool begins(enum start_verdict verdict, uint32_t bytes)
{
    return verdict == START_YES || (verdict == START_MORE && bytes >= TELLING_BYTES);
}

enum speaker speaker_of(const uint8_t *data, uint32_t bytes)
{
    if (begins(http1_start(TO_SERVER, data, bytes), bytes) ||
        begins(http2_start(TO_SERVER, data, bytes), bytes))
        return SPEAKER_CLIENT;
    if (begins(http1_start(TO_CLIENT, data, bytes), bytes) ||
        begins(http2_start(TO_CLIENT, data, bytes), bytes) ||
        begins(authd_banner(data, bytes), bytes) || begins(console_start(data, bytes), bytes))
        return SPEAKER_SERVER;
    /* virNetServerClient: a byte of its own says that the client's certificate was taken */
    return bytes == 1 && data[0] == 1 ? SPEAKER_SERVER : SPEAKER_UNKNOWN;
}
