/* links: protocol*.c framing.c libvirt.c authd.c nfc*.c vix*.c tls*.c http*.c choice.c pending.c interest.c interest_match.c needles.c objects.c operations.c soap.c body.c block.c tokens.c kept.c */
/* HTTP/1 as in fuzz_http.h; where nothing is lost, cut short or out of step, the splits make no
 * difference. */
#include "fuzz_http.h"

static bool in_step(const struct run *run)
{
    const uint64_t *counters = run->counters.value;
    return !run->gaps && !counters[COUNT_http_malformed] && !counters[COUNT_memory_shed] &&
           !counters[COUNT_http_resynchronised];
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static const struct opening none;
    struct input input = {data, bytes};
    struct run whole, singly;
    run(input, &none, false, &whole);
    run(input, &none, true, &singly);
    if (in_step(&whole) && in_step(&singly))
        require(memcmp(&whole.seen, &singly.seen, sizeof whole.seen) == 0);
    return 0;
}
