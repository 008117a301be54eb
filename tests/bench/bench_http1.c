/* links: protocol*.c framing.c libvirt.c authd.c nfc*.c vix*.c tls*.c http*.c choice.c pending.c interest.c interest_match.c needles.c objects.c operations.c soap.c body.c block.c tokens.c kept.c */
/* Nanoseconds per transaction of a keep-alive RetrievePropertiesEx: a request of 900 bytes in two
 * segments, a response of 8 KB in six, fed as reassembly would. Prints the median of several runs
 * of each case:
 *
 *   unasked   many rules, none for this operation
 *   named     a rule wants it, but no needle is in the request
 *   changed   a rule wants both bodies when they differ from the last time: they never do
 *   handed up both bodies, each time */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "flow.h"
#include "protocol.h"

enum { SEGMENT_BYTES = 1448, TRANSACTIONS = 100000, RUNS = 7, RULES = 300, BODY_BYTES = 8000 };

static const char request_head[] =
    "POST /sdk HTTP/1.1\r\nHost: 10.77.3.10\r\nContent-Length: %zu\r\n"
    "Cookie: vmware_soap_session=\"d9a69375-0c90-4a74-bf6b-a0bd12776118\"; Path=/; HttpOnly\r\n"
    "SOAPAction: \"urn:vim25/6.7\"\r\nContent-Type: text/xml; charset=UTF-8\r\n"
    "User-Agent: pyvmomi 9.1.1.0 OSS Python/3.11.7 (Linux; 6.1.0; x86_64)\r\n"
    "Accept-Encoding: gzip, deflate\r\n\r\n";
static const char request_body[] =
    "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
    "<soapenv:Envelope xmlns:soapenc=\"http://schemas.xmlsoap.org/soap/encoding/\" "
    "xmlns:soapenv=\"http://schemas.xmlsoap.org/soap/envelope/\" "
    "xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" "
    "xmlns:xsd=\"http://www.w3.org/2001/XMLSchema\">\n"
    "<soapenv:Header><operationID versionId=\"6.7\">"
    "kq8abc1f-12345-auto-9ix-h5:70000001</operationID></soapenv:Header>\n"
    "<soapenv:Body><RetrievePropertiesEx xmlns=\"urn:vim25\"><_this versionId=\"6.7\" "
    "type=\"PropertyCollector\">"
    "propertyCollector</_this><specSet><propSet><type>VirtualMachine</type><all>false</all>"
    "<pathSet>name</pathSet></propSet>"
    "<objectSet><obj type=\"VirtualMachine\">vm-39</obj></objectSet></specSet>"
    "</RetrievePropertiesEx></soapenv:Body>\n"
    "</soapenv:Envelope>";
static const char response_head[] =
    "HTTP/1.1 200 OK\r\nDate: Sat, 21 Nov 2026 20:08:55 GMT\r\nContent-Length: %d\r\n"
    "Content-Type: text/xml; charset=utf-8\r\n\r\n";

static void on_transaction(void *context, struct flow *flow, const struct transaction *transaction)
{
    (void)flow;
    *(uint64_t *)context += transaction->request_body.bytes + transaction->response_body.bytes;
}

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void feed(struct protocol *protocol, enum direction direction, const char *data,
                 size_t bytes)
{
    for (size_t at = 0; at < bytes; at += SEGMENT_BYTES) {
        size_t left = bytes - at;
        protocol_data(protocol, direction, (const uint8_t *)data + at,
                      (uint32_t)(left < SEGMENT_BYTES ? left : SEGMENT_BYTES), 1);
    }
}

static int by_value(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

static double run(const struct protocol_shared *shared)
{
    static char head[1024], response[16384];
    size_t head_bytes = (size_t)snprintf(head, sizeof head, request_head, sizeof request_body - 1);
    size_t response_bytes = (size_t)snprintf(response, sizeof response, response_head, BODY_BYTES);
    for (int i = 0; i < BODY_BYTES; i++)
        response[response_bytes++] = "<val>some property</val>"[i % 24];
    struct flow flow = {.protocol = PROTO_TCP, .port = {80, 50000}};
    struct protocol *protocol = protocol_open(shared, &flow);
    uint64_t start = now_ns();
    for (int i = 0; i < TRANSACTIONS; i++) {
        feed(protocol, TO_SERVER, head, head_bytes);
        feed(protocol, TO_SERVER, request_body, sizeof request_body - 1);
        feed(protocol, TO_CLIENT, response, response_bytes);
    }
    uint64_t end = now_ns();
    protocol_close(protocol, 1);
    return (double)(end - start) / TRANSACTIONS;
}

static void bench(const char *name, unsigned want, const char *needle)
{
    static const char *const failure = "NotAuthenticated";
    const struct needles none = {NULL, 0}, one = {&failure, 1};
    struct limits limits = {.http_head_bytes_max = 65536,
                            .http_body_bytes_max = 1 << 20,
                            .http_pipeline_max = 64,
                            .http_tokens_per_flow_max = 64,
                            .operations_max = 4096};
    struct interest *interest = interest_open();
    struct budget budget = {.limit_bytes = 1 << 26};
    struct counters counters = {0};
    struct operations *operations = operations_open(&limits, &counters);
    struct changes *changes = changes_open();
    uint64_t handed_up = 0;
    double took[RUNS];
    char text[64];
    for (int i = 0; i < RULES; i++) {
        snprintf(text, sizeof text, "Operation%d_Task", i);
        interest_add_operation(interest, text, WANT_REQUEST_BODY | WANT_RESPONSE_BODY, none, none);
        snprintf(text, sizeof text, "/api/vcenter/thing%d/*", i);
        interest_add_path(interest, "POST", text, WANT_REQUEST_BODY | WANT_RESPONSE_BODY, none,
                          none);
    }
    if (needle)
        interest_add_operation(interest, "RetrievePropertiesEx", want, (struct needles){&needle, 1},
                               none);
    interest_add_operation(interest, "*InGuest", WANT_REQUEST_BODY, none, none);
    interest_add_operation(interest, "*", WANT_RESPONSE_BODY | WANT_FAILED_ONLY, none, one);
    interest_add_token_header(interest, "vmware-api-session-id");
    interest_add_token_cookie(interest, "vmware_soap_session");
    struct protocol_shared shared = {&limits,
                                     interest,
                                     &budget,
                                     &counters,
                                     operations,
                                     changes,
                                     {&handed_up, on_transaction, NULL, NULL, NULL}};
    for (int i = 0; i < RUNS; i++)
        took[i] = run(&shared);
    qsort(took, RUNS, sizeof *took, by_value);
    printf("%-10s %7.0f ns per transaction (fastest %.0f), %.0f MB/s, %llu of %llu handed up\n",
           name, took[RUNS / 2], took[0],
           (double)(BODY_BYTES + sizeof request_body + sizeof request_head) * 1000 / took[RUNS / 2],
           (unsigned long long)counters.value[COUNT_http_transactions_handed_up],
           (unsigned long long)counters.value[COUNT_http_transactions]);
    operations_close(operations);
    changes_close(changes);
    interest_close(interest);
}

int main(void)
{
    const unsigned both = WANT_REQUEST_BODY | WANT_RESPONSE_BODY;
    bench("unasked", 0, NULL);
    bench("named", both, "HttpNfcLease");
    bench("changed", both | WANT_CHANGED_ONLY, ">name<");
    bench("handed up", both, ">name<");
    return 0;
}
