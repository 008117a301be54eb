/* links: protocol*.c framing.c libvirt.c authd.c nfc*.c vix*.c tls*.c http*.c choice.c pending.c interest.c interest_match.c needles.c objects.c operations.c soap.c body.c block.c tokens.c kept.c */
/* HTTP/2 as in fuzz_http.h, behind the prefaces of both ends. What is lost or broken stays so: the
 * splits make no difference unless memory is short. */
#include "fuzz_http.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static const uint8_t client[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0";
    static const uint8_t server[] = "\0\0\0\4\0\0\0\0";
    static const struct opening opening = {{client, server}, {sizeof client, sizeof server}};
    struct input input = {data, bytes};
    struct run whole, singly;
    run(input, &opening, false, &whole);
    run(input, &opening, true, &singly);
    if (!whole.counters.value[COUNT_memory_shed] && !singly.counters.value[COUNT_memory_shed])
        require(memcmp(&whole.seen, &singly.seen, sizeof whole.seen) == 0);
    return 0;
}
