/* links: protocol*.c framing.c libvirt.c authd.c nfc*.c vix*.c tls*.c http*.c choice.c pending.c interest.c interest_match.c needles.c objects.c operations.c soap.c body.c block.c tokens.c kept.c */
/* HTTP/1 with bytes missing: what is still known is told, nothing is guessed. */
#include "conversation.h"

#include "http1.h"

#define GET(target) "GET " target " HTTP/1.1\r\n\r\n"
#define OK(body) "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n" body
#define CHUNKED "Transfer-Encoding: chunked\r\n\r\n"

static const struct row in_bodies[] = {
    {"a gap inside a request body keeps the framing; the body ends at the gap",
     {C("POST /a HTTP/1.1\r\nContent-Length: 10\r\n\r\nabc"), CGAP(4), C("hij" GET("/b")),
      S(OK("1a")), S(OK("2b"))},
     "POST /a 200 @1,4,4 REQUEST_GAP <abc> <1a>\nGET /b 200 @3,5,5 <> <2b>\n",
     false},
    {"a gap that is the rest of a request body",
     {C("POST /a HTTP/1.1\r\nContent-Length: 10\r\n\r\nabc"), CGAP(7), S(OK("1a")), C(GET("/b")),
      S(OK("2b"))},
     "POST /a 200 @1,3,3 REQUEST_GAP <abc> <1a>\nGET /b 200 @4,5,5 <> <2b>\n",
     false},
    {"a gap inside a response body",
     {C(GET("/a")), S("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc"), SGAP(4), S("hij"),
      C(GET("/b")), S(OK("2b"))},
     "GET /a 200 @1,2,4 RESPONSE_GAP <> <abc>\nGET /b 200 @5,6,6 <> <2b>\n",
     false},
    {"a gap that is the rest of a response body",
     {C(GET("/a")), S("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"), SGAP(10), C(GET("/b")),
      S(OK("2b"))},
     "GET /a 200 @1,2,3 RESPONSE_GAP <> <>\nGET /b 200 @4,5,5 <> <2b>\n",
     false},
    {"a gap in a response that lasts until close",
     {C(GET("/a")), S("HTTP/1.1 200 OK\r\n\r\nabc"), SGAP(4), S("hij"), SEND},
     "GET /a 200 @1,2,5 RESPONSE_GAP <> <abc>\n",
     false},
    {"a gap longer than the response body takes the next head with it",
     {C(GET("/a")), S("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc"), SGAP(20), C(GET("/b")),
      S("body of b"), C(GET("/c")), S(OK("3c"))},
     "GET /a 200 @1,2,3 RESPONSE_GAP <> <abc>\nGET /b 0 @4,0,6 RESPONSE_GAP NO_RESPONSE <> <>\n"
     "GET /c 200 @6,7,7 <> <3c>\nresynchronised 1\n",
     false},
    {"a gap in a chunked response: that one is damaged, the next is whole",
     {C(GET("/a")), S("HTTP/1.1 200 OK\r\n" CHUNKED "3\r\nabc\r\n"), SGAP(4), S("hij\r\n0\r\n\r\n"),
      C(GET("/b")), S(OK("2b"))},
     "GET /a 200 @1,2,3 RESPONSE_GAP <> <abc>\nGET /b 200 @5,6,6 <> <2b>\nresynchronised 1\n",
     false},
    {"a gap in a chunked request: it gets its response",
     {C("POST /a HTTP/1.1\r\n" CHUNKED "3\r\nabc\r\n"), CGAP(9), S(OK("1a")), C(GET("/b")),
      S(OK("2b"))},
     "POST /a 200 @1,3,3 REQUEST_GAP <abc> <1a>\nGET /b 200 @4,5,5 <> <2b>\nresynchronised 1\n",
     false},
    {"two gaps in one body",
     {C("POST /a HTTP/1.1\r\nContent-Length: 10\r\n\r\na"), CGAP(2), C("d"), CGAP(6), S(OK("1a"))},
     "POST /a 200 @1,5,5 REQUEST_GAP <a> <1a>\n",
     false},
};

static const struct row lost_responses[] = {
    {"the start of the response is lost, its end comes: the next request tells",
     {C(GET("/a")), SGAP(30), S("rest of it"), C(GET("/b")), S(OK("2b"))},
     "GET /a 0 @1,0,4 RESPONSE_GAP NO_RESPONSE <> <>\nGET /b 200 @4,5,5 <> <2b>\n"
     "resynchronised 1\n",
     false},
    {"the response is lost and nothing follows",
     {C(GET("/a")), SGAP(30)},
     "GET /a 0 @1,0,99 RESPONSE_GAP NO_RESPONSE <> <>\n",
     true},
    {"only what came before the response is lost: the next one is the answer",
     {C(GET("/a")), SGAP(30), S(OK("1a"))},
     "GET /a 200 @1,3,3 <> <1a>\nresynchronised 1\n",
     false},
    {"half a head, then a gap",
     {C(GET("/a")), S("HTTP/1.1 200 OK\r\nX: "), SGAP(30), C(GET("/b")), S(OK("2b"))},
     "GET /a 0 @1,0,4 RESPONSE_GAP NO_RESPONSE <> <>\nGET /b 200 @4,5,5 <> <2b>\n"
     "resynchronised 1\n",
     false},
    {"one gap over the end of one response and the start of the next, told before the request "
     "between them",
     {C(GET("/a")), S("HTTP/1.1 200 OK\r\n" CHUNKED "3\r\nabc\r\n"), SGAP(40), C(GET("/b")),
      S("rest of b"), C(GET("/c")), S(OK("3c"))},
     "GET /a 200 @1,2,3 RESPONSE_GAP <> <abc>\nGET /b 0 @4,0,6 RESPONSE_GAP NO_RESPONSE <> <>\n"
     "GET /c 200 @6,7,7 <> <3c>\nresynchronised 1\n",
     false},
    {"pipelined: which of two responses is missing cannot be told, nor who gets what comes",
     {C(GET("/a") GET("/b")), SGAP(30), S(OK("??")), C(GET("/c")), S(OK("3c"))},
     "GET /a 0 @1,0,2 RESPONSE_GAP NO_RESPONSE <> <>\n"
     "GET /b 0 @1,0,2 RESPONSE_GAP NO_RESPONSE <> <>\n"
     "GET /c 0 @4,0,4 RESPONSE_GAP NO_RESPONSE <> <>\nresynchronised 1\nunpaired 2\n",
     false},
    {"pipelined, the damaged response is known: the other is the other's",
     {C(GET("/a") GET("/b")), S("HTTP/1.1 200 OK\r\n" CHUNKED "3\r\nabc\r\n"), SGAP(3), S(OK("2b")),
      C(GET("/c")), S(OK("3c"))},
     "GET /a 200 @1,2,3 RESPONSE_GAP <> <abc>\nGET /b 200 @1,4,4 <> <2b>\n"
     "GET /c 200 @5,6,6 <> <3c>\nresynchronised 1\n",
     false},
    {"pipelined, every response that can still come has come: in step again",
     {C(GET("/a") GET("/b") GET("/c")), S("HTTP/1.1 200 OK\r\n" CHUNKED "3\r\nabc\r\n"), SGAP(3),
      S(OK("2b")), S(OK("3c")), C(GET("/d")), S(OK("4d"))},
     "GET /a 200 @1,2,3 RESPONSE_GAP <> <abc>\nGET /b 0 @1,0,3 RESPONSE_GAP NO_RESPONSE <> <>\n"
     "GET /c 0 @1,0,3 RESPONSE_GAP NO_RESPONSE <> <>\nGET /d 200 @6,7,7 <> <4d>\n"
     "resynchronised 1\nunpaired 2\n",
     false},
    {"a client that pipelines sends another request while the answer to the last is lost or late",
     {C(GET("/a") GET("/b")), S(OK("1a")), S(OK("2b")), C(GET("/c")), SGAP(9), C(GET("/d")),
      S(OK("??"))},
     "GET /a 200 @1,2,2 <> <1a>\nGET /b 200 @1,3,3 <> <2b>\n"
     "GET /c 0 @4,0,6 RESPONSE_GAP NO_RESPONSE <> <>\n"
     "GET /d 0 @6,0,6 RESPONSE_GAP NO_RESPONSE <> <>\nresynchronised 1\nunpaired 1\n",
     false},
};

static const struct row lost_requests[] = {
    {"a lost request's response is nobody's",
     {C(GET("/a")), S(OK("1a")), CGAP(30), S(OK("2?")), C(GET("/c")), S(OK("3c"))},
     "GET /a 200 @1,2,2 <> <1a>\nGET /c 200 @5,6,6 <> <3c>\nresynchronised 1\nunpaired 1\n",
     false},
    {"its response begins before the next request and ends after it",
     {C(GET("/a")), S(OK("1a")), CGAP(30), S("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n2"),
      C(GET("/c")), S("?"), S(OK("3c"))},
     "GET /a 200 @1,2,2 <> <1a>\nGET /c 200 @5,7,7 <> <3c>\nresynchronised 1\nunpaired 1\n",
     false},
    {"half a request head is lost",
     {C("GET /a HTTP/1.1\r\nHost"), CGAP(30), S(OK("1?")), C(GET("/b")), S(OK("2b"))},
     "GET /b 200 @4,5,5 <> <2b>\nresynchronised 1\nunpaired 1\n",
     false},
    {"the response to a lost HEAD has a length and no body",
     {C(GET("/a")), S(OK("1a")), CGAP(30), S("HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n"),
      C(GET("/c")), S(OK("3c"))},
     "GET /a 200 @1,2,2 <> <1a>\nGET /c 200 @5,6,6 <> <3c>\nresynchronised 1\nunpaired 1\n",
     false},
    {"the response to a lost request lasts until close",
     {C(GET("/a")), S(OK("1a")), CGAP(30), S("HTTP/1.1 200 OK\r\n\r\nwhatever"), SEND},
     "GET /a 200 @1,2,2 <> <1a>\nunpaired 1\n",
     true},
    {"the gap takes the end of a body and the next request",
     {C("POST /a HTTP/1.1\r\nContent-Length: 10\r\n\r\nabc"), CGAP(40), S(OK("1a")), S(OK("2?")),
      C(GET("/c")), S(OK("3c"))},
     "POST /a 200 @1,3,3 REQUEST_GAP <abc> <1a>\nGET /c 200 @5,6,6 <> <3c>\nresynchronised 1\n"
     "unpaired 1\n",
     false},
    {"a pipelining client: how many requests are lost is unknown, so nothing after them is paired",
     {C(GET("/a") GET("/b")), CGAP(30), C(GET("/d")), S(OK("1a")), S(OK("2b")), S(OK("3?")),
      S(OK("4?")), C(GET("/e")), S(OK("5?"))},
     "GET /d 0 @3,0,3 RESPONSE_GAP NO_RESPONSE <> <>\nGET /a 200 @1,4,4 <> <1a>\n"
     "GET /b 200 @1,5,5 <> <2b>\n"
     "GET /e 0 @8,0,8 RESPONSE_GAP NO_RESPONSE <> <>\nresynchronised 1\nunpaired 3\n",
     false},
    {"both directions lost behind a request: the next response may be of the request that is lost "
     "too",
     {C(GET("/a")), CGAP(30), SGAP(50), S(OK("2?")), C(GET("/c")), S(OK("3c"))},
     "GET /a 0 @1,0,3 RESPONSE_GAP NO_RESPONSE <> <>\nGET /c 200 @5,6,6 <> <3c>\n"
     "resynchronised 2\nunpaired 1\n",
     false},
    {"the same, the response first",
     {C(GET("/a")), SGAP(50), CGAP(30), S(OK("2?")), C(GET("/c")), S(OK("3c"))},
     "GET /a 0 @1,0,3 RESPONSE_GAP NO_RESPONSE <> <>\nGET /c 200 @5,6,6 <> <3c>\n"
     "resynchronised 2\nunpaired 1\n",
     false},
    {"from the middle of a request on",
     {C("st of a request body"), S(OK("0?")), C(GET("/a")), S(OK("1a"))},
     "GET /a 200 @3,4,4 <> <1a>\nresynchronised 2\nunpaired 1\n",
     false},
    {"from the middle of a response on",
     {S("st of a response body"), C(GET("/a")), S(OK("1a"))},
     "GET /a 200 @2,3,3 <> <1a>\nresynchronised 2\n",
     false},
    {"a gap first of all",
     {CGAP(100), C(GET("/a")), S(OK("1a"))},
     "GET /a 200 @2,3,3 <> <1a>\nresynchronised 1\n",
     false},
    {"gaps first of all, both ways",
     {CGAP(100), SGAP(100), C(GET("/a")), S(OK("1a"))},
     "GET /a 200 @3,4,4 <> <1a>\nresynchronised 2\n",
     false},
    {"where a body is in doubt, a gap decides nothing",
     {C("POST /a HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n"),
      S("HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n"), CGAP(9), C(GET("/b")), S(OK("2b"))},
     "POST /a 401 @1,2,2 REQUEST_GAP <> <>\nGET /b 200 @4,5,5 <> <2b>\nresynchronised 1\n",
     false},
};

/* The order of the streams puts the response behind the request; only the clock knows better. */
static void check_clock(const struct settings *settings)
{
    static struct result result;
    struct counters counters = {0};
    struct budget budget = {.limit_bytes = 1 << 20};
    struct flow flow = {.protocol = PROTO_TCP, .port = {80, 50000}};
    struct operations *operations = operations_open(&settings->limits, &counters);
    result = (struct result){.run = -1};
    struct protocol_shared shared = {
        &settings->limits,
        settings->interest,
        &budget,
        &counters,
        operations,
        NULL,
        {&result, on_transaction, on_proxy_header, on_chunk, on_gap, NULL, on_message},
    };
    const struct piece pieces[] = {C(GET("/a")), S(OK("1a")), CGAP(30),
                                   C(GET("/c")), S(OK("2?")), S(OK("3c"))};
    const uint64_t times[] = {10, 20, 30, 50, 40, 60};
    struct protocol *protocol = protocol_open(&shared, &flow);
    uint64_t seed = 1;
    for (int i = 0; i < 6; i++)
        feed_piece(protocol, &pieces[i], times[i], FEED_WHOLE, &seed);
    protocol_close(protocol, 70);
    CHECK(strcmp(result.text, "GET /a 200 @10,20,20 <> <1a>\nGET /c 200 @50,60,60 <> <3c>\n") == 0);
    CHECK(counters.value[COUNT_http_unpaired_responses] == 1);
    CHECK(budget.used_bytes == 0);
    operations_close(operations);
}

/* 4 bytes of a body and what TLS put around them. Were 26 taken for bytes of the body, the request
 * after it would be looked for too early, and the end of the body be taken for its start. */
static void check_decrypted(const struct settings *settings)
{
    static struct result result;
    struct counters counters = {0};
    struct budget budget = {.limit_bytes = 1 << 20};
    struct flow flow = {.protocol = PROTO_TCP, .port = {80, 50000}};
    struct operations *operations = operations_open(&settings->limits, &counters);
    result = (struct result){.run = -1};
    struct protocol_shared shared = {
        &settings->limits,
        settings->interest,
        &budget,
        &counters,
        operations,
        NULL,
        {&result, on_transaction, on_proxy_header, on_chunk, on_gap, NULL, on_message},
    };
    const struct piece pieces[] = {C("POST /a HTTP/1.1\r\nContent-Length: 40\r\n\r\nabc"), CGAP(26),
                                   C("012345678901234567890123456789hij"), C(GET("/b")), S(OK("1a")),
                                   S("HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\nabc"), SGAP(26),
                                   S("012345678901234567890123456789hij"), C(GET("/c")),
                                   S(OK("3c"))};
    struct protocol *protocol = protocol_open(&shared, &flow);
    protocol->http.flags |= TRANSACTION_DECRYPTED;
    uint64_t seed = 1;
    for (uint64_t i = 0; i < sizeof pieces / sizeof *pieces; i++)
        feed_piece(protocol, &pieces[i], i + 1, FEED_WHOLE, &seed);
    protocol_close(protocol, 20);
    CHECK(strcmp(result.text, "POST /a 200 @1,5,5 REQUEST_GAP DECRYPTED <abc> <1a>\n"
                              "GET /b 200 @4,6,7 RESPONSE_GAP DECRYPTED <> <abc>\n"
                              "GET /c 200 @9,10,10 DECRYPTED <> <3c>\n") == 0);
    CHECK(counters.value[COUNT_http_malformed] == 0);
    CHECK(counters.value[COUNT_http_resynchronised] == 2);
    CHECK(budget.used_bytes == 0);
    operations_close(operations);
}

int main(void)
{
    struct interest *interest = interest_open();
    CHECK(interest_add_path(interest, "*", "*", WANT_REQUEST_BODY | WANT_RESPONSE_BODY,
                            (struct needles){0}, (struct needles){0}));
    struct settings settings = {interest, test_limits(), 1 << 20, 80};
    for (size_t i = 0; i < sizeof in_bodies / sizeof *in_bodies; i++)
        check_row(&settings, &in_bodies[i]);
    for (size_t i = 0; i < sizeof lost_responses / sizeof *lost_responses; i++)
        check_row(&settings, &lost_responses[i]);
    for (size_t i = 0; i < sizeof lost_requests / sizeof *lost_requests; i++)
        check_row(&settings, &lost_requests[i]);
    check_clock(&settings);
    check_decrypted(&settings);
    interest_close(interest);
    return checks_report("http1_loss");
}
