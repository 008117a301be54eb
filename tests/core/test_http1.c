/* links: protocol*.c framing.c libvirt.c authd.c nfc*.c vix*.c tls*.c http*.c choice.c pending.c interest.c interest_match.c needles.c objects.c operations.c soap.c body.c block.c tokens.c kept.c */
/* HTTP/1 framing and pairing, nothing lost. Each row: both directions' bytes, the transactions
 * expected. */
#include "conversation.h"

#define OK2 "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

static const struct row framing[] = {
    {"no bodies",
     {C("GET /a HTTP/1.1\r\nHost: h\r\n\r\n"), S("HTTP/1.1 204 No Content\r\n\r\n")},
     "GET /a 204 @1,2,2 <> <>\n",
     false},
    {"two in turn",
     {C("GET /a HTTP/1.1\r\n\r\n"), S(OK2), C("GET /b HTTP/1.1\r\n\r\n"), S(OK2)},
     "GET /a 200 @1,2,2 <> <ok>\nGET /b 200 @3,4,4 <> <ok>\n",
     false},
    {"length both ways",
     {C("POST /a HTTP/1.1\r\ncontent-LENGTH:3\r\n\r\nabc"), S(OK2)},
     "POST /a 200 @1,2,2 <abc> <ok>\n",
     false},
    {"equal lengths",
     {C("POST /a HTTP/1.1\r\nContent-Length: 3, 3\r\nContent-Length: 3\r\n\r\nabc"), S(OK2)},
     "POST /a 200 @1,2,2 <abc> <ok>\n",
     false},
    {"conflicting lengths",
     {C("POST /a HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n"), C("abcd"), S(OK2)},
     "POST /a 200 @1,3,3 REQUEST_GAP <> <ok>\nmalformed 1\n",
     false},
    {"conflicting lengths of a response",
     {C("GET /a HTTP/1.1\r\n\r\n"), S("HTTP/1.1 200 OK\r\nContent-Length: 3, 4\r\n\r\n"), S("abcd"),
      C("GET /b HTTP/1.1\r\n\r\n"), S(OK2)},
     "GET /a 200 @1,2,2 RESPONSE_GAP <> <>\nGET /b 200 @4,5,5 <> <ok>\n"
     "malformed 1\nresynchronised 1\n",
     false},
    {"length that is no number",
     {C("GET /a HTTP/1.1\r\n\r\n"), S("HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\n")},
     "GET /a 200 @1,2,2 RESPONSE_GAP <> <>\nmalformed 1\n",
     false},
    {"length beyond 63 bits",
     {C("GET /a HTTP/1.1\r\n\r\n"),
      S("HTTP/1.1 200 OK\r\nContent-Length: 9999999999999999999999\r\n\r\n")},
     "GET /a 200 @1,2,2 RESPONSE_GAP <> <>\nmalformed 1\n",
     false},
    {"chunked, extensions, trailers",
     {C("POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
        "3;x=\"y;z\"\r\nabc\r\n0A \r\n0123456789\r\n0;last\r\nTrailer: t\r\n more\r\n\r\n"),
      S("HTTP/1.1 200 OK\r\nTransfer-Encoding:chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"),
      C("GET /b HTTP/1.1\r\n\r\n"), S(OK2)},
     "POST /a 200 @1,2,2 <abc0123456789> <ok>\nGET /b 200 @3,4,4 <> <ok>\n",
     false},
    {"the body in two chunks, as govc sends it",
     {C("POST /sdk HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"), C("2\r\n<?\r\n"),
      C("3\r\nxml\r\n"), C("0\r\n\r\n"), S(OK2)},
     "POST /sdk 200 @1,5,5 <<?xml> <ok>\n",
     false},
    {"chunked wins over length",
     {C("POST /a HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
        "1\r\nx\r\n0\r\n\r\n"),
      S(OK2)},
     "POST /a 200 @1,2,2 <x> <ok>\n",
     false},
    {"chunked with lone LF",
     {C("POST /a HTTP/1.1\nTransfer-Encoding: chunked\n\n1\nx\n0\n\n"), S(OK2)},
     "POST /a 200 @1,2,2 <x> <ok>\n",
     false},
    {"chunk size that is none",
     {C("POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"), C("x\r\n"), S(OK2)},
     "POST /a 200 @1,3,3 REQUEST_GAP <> <ok>\nmalformed 1\n",
     false},
    {"chunk size beyond 63 bits",
     {C("POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"), C("fffffffffffffffff\r\n"),
      S(OK2)},
     "POST /a 200 @1,3,3 REQUEST_GAP <> <ok>\nmalformed 1\n",
     false},
    {"chunk longer than it says",
     {C("GET /a HTTP/1.1\r\n\r\n"),
      S("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nxy\r\n")},
     "GET /a 200 @1,2,2 RESPONSE_GAP <> <x>\nmalformed 1\n",
     false},
    {"folded and odd header lines",
     {C("POST /a HTTP/1.1\r\nContent-Length:\r\n\t 3\r\nno colon\r\nX : y\r\n\r\nabc"), S(OK2)},
     "POST /a 200 @1,2,2 <abc> <ok>\n",
     false},
    {"lone LF",
     {C("POST /a HTTP/1.1\nContent-Length: 1\n\nx"), S("HTTP/1.1 200 OK\nContent-Length: 1\n\ny")},
     "POST /a 200 @1,2,2 <x> <y>\n",
     false},
    {"empty lines between messages",
     {C("\r\n\r\nGET /a HTTP/1.1\r\n\r\n"), S(OK2), C("\r\n"), C("\nGET /b HTTP/1.1\r\n\r\n"),
      S("\r\n" OK2)},
     "GET /a 200 @1,2,2 <> <ok>\nGET /b 200 @4,5,5 <> <ok>\n",
     false},
    {"absolute form",
     {C("GET http://h:8080/a?b HTTP/1.1\r\n\r\n"), S(OK2)},
     "GET http://h:8080/a?b 200 @1,2,2 <> <ok>\n",
     false},
    {"space in the target",
     {C("GET /my vm/x HTTP/1.1\r\n\r\n"), S(OK2)},
     "GET /my vm/x 200 @1,2,2 <> <ok>\n",
     false},
    {"own method, once in step",
     {C("GET /a HTTP/1.1\r\n\r\n"), S(OK2), C("FROB /b HTTP/1.1\r\n\r\n"), S(OK2)},
     "GET /a 200 @1,2,2 <> <ok>\nFROB /b 200 @3,4,4 <> <ok>\n",
     false},
    {"no reason phrase",
     {C("GET /a HTTP/1.1\r\n\r\n"), S("HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n")},
     "GET /a 200 @1,2,2 <> <>\n",
     false},
    {"1.0, closed by the server",
     {C("GET /a HTTP/1.0\r\n\r\n"), S("HTTP/1.0 200 OK\r\n\r\nall"), S(" of it"), SEND},
     "GET /a 200 @1,2,4 <> <all of it>\n",
     false},
    {"1.0, kept alive",
     {C("GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"),
      S("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok"),
      C("GET /b HTTP/1.0\r\n\r\n"), S("HTTP/1.0 200 OK\r\n\r\nrest"), SEND},
     "GET /a 200 @1,2,2 <> <ok>\nGET /b 200 @3,4,5 <> <rest>\n",
     false},
    {"unknown transfer coding lasts until close",
     {C("GET /a HTTP/1.1\r\n\r\n"),
      S("HTTP/1.1 200 OK\r\nTransfer-Encoding: identity, own\r\n\r\nx"), SEND},
     "GET /a 200 @1,2,3 RESPONSE_CUT <> <>\nundecodable 1\n",
     false},
    {"HEAD",
     {C("HEAD /a HTTP/1.1\r\n\r\n"), S("HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n"),
      C("GET /b HTTP/1.1\r\n\r\n"), S(OK2)},
     "HEAD /a 200 @1,2,2 <> <>\nGET /b 200 @3,4,4 <> <ok>\n",
     false},
    {"304 with a length",
     {C("GET /a HTTP/1.1\r\n\r\n"), S("HTTP/1.1 304 Not Modified\r\nContent-Length: 500\r\n\r\n"),
      C("GET /b HTTP/1.1\r\n\r\n"), S(OK2)},
     "GET /a 304 @1,2,2 <> <>\nGET /b 200 @3,4,4 <> <ok>\n",
     false},
    {"a response cut by the server",
     {C("GET /a HTTP/1.1\r\n\r\n"), S("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"), SEND},
     "GET /a 200 @1,2,3 RESPONSE_CUT <> <half>\n",
     false},
    {"a request cut by the client",
     {C("POST /a HTTP/1.1\r\nContent-Length: 9\r\n\r\nhalf"), CEND},
     "POST /a 0 @1,0,99 REQUEST_CUT NO_RESPONSE <half> <>\n",
     false},
    {"half closed",
     {C("POST /a HTTP/1.1\r\nContent-Length: 9\r\n\r\nhalf"), CEND, S(OK2)},
     "POST /a 200 @1,3,3 REQUEST_CUT <half> <ok>\n",
     false},
    {"no response",
     {C("GET /a HTTP/1.1\r\n\r\n"), CEND, SEND},
     "GET /a 0 @1,0,99 NO_RESPONSE <> <>\n",
     false},
    {"half a request head", {C("GET /a HTTP/1.1\r\nHost:"), CEND, SEND}, "", true},
    {"half a response head",
     {C("GET /a HTTP/1.1\r\n\r\n"), S("HTTP/1.1 200 OK\r\nCont"), SEND},
     "GET /a 0 @1,0,99 NO_RESPONSE <> <>\n",
     false},
};

static const struct row pairing[] = {
    {"pipelined",
     {C("GET /a HTTP/1.1\r\n\r\nGET /b HTTP/1.1\r\n\r\n"), C("GET /c HTTP/1.1\r\n\r\n"), S(OK2),
      S(OK2 "HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n")},
     "GET /a 200 @1,3,3 <> <ok>\nGET /b 200 @1,4,4 <> <ok>\nGET /c 404 @2,4,4 <> <>\n",
     false},
    {"more pipelined than there is room for: those past it get no answer, the rest keep theirs",
     {C("GET /1 HTTP/1.1\r\n\r\nGET /2 HTTP/1.1\r\n\r\nGET /3 HTTP/1.1\r\n\r\nGET /4 HTTP/1.1\r\n"
        "\r\n"
        "GET /5 HTTP/1.1\r\n\r\nGET /6 HTTP/1.1\r\n\r\nGET /7 HTTP/1.1\r\n\r\nGET /8 HTTP/1.1\r\n"
        "\r\n"),
      C("GET /9 HTTP/1.1\r\n\r\n"), S(OK2), C("GET /10 HTTP/1.1\r\n\r\n"),
      S(OK2 OK2 OK2 OK2 OK2 OK2 OK2), S(OK2 OK2), C("GET /11 HTTP/1.1\r\n\r\n"), S(OK2)},
     "GET /9 0 @2,0,2 NO_RESPONSE <> <>\nGET /1 200 @1,3,3 <> <ok>\n"
     "GET /10 0 @4,0,4 NO_RESPONSE <> <>\n"
     "GET /2 200 @1,5,5 <> <ok>\nGET /3 200 @1,5,5 <> <ok>\nGET /4 200 @1,5,5 <> <ok>\n"
     "GET /5 200 @1,5,5 <> <ok>\nGET /6 200 @1,5,5 <> <ok>\nGET /7 200 @1,5,5 <> <ok>\n"
     "GET /8 200 @1,5,5 <> <ok>\nGET /11 200 @7,8,8 <> <ok>\nunpaired 2\nshed 2\n",
     false},
    {"100-continue",
     {C("POST /a HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n"),
      S("HTTP/1.1 100 Continue\r\n\r\n"), C("abc"), S(OK2)},
     "POST /a 200 @1,4,4 INTERIM <abc> <ok>\n",
     false},
    {"two interim responses before the final one, in one piece",
     {C("GET /a HTTP/1.1\r\n\r\n"),
      S("HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" OK2)},
     "GET /a 200 @1,2,2 INTERIM <> <ok>\n",
     false},
    {"401 instead of 100, and the body is not sent",
     {C("POST /a HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 30\r\n\r\n"),
      S("HTTP/1.1 401 No\r\nContent-Length: 2\r\n\r\nno"), C("GET /b HTTP/1.1\r\n\r\n"), S(OK2)},
     "POST /a 401 @1,2,2 REQUEST_CUT <> <no>\nGET /b 200 @3,4,4 <> <ok>\n",
     false},
    {"417 instead of 100, and the body is sent",
     {C("POST /a HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n"),
      S("HTTP/1.1 417 No\r\nContent-Length: 2\r\n\r\nno"), C("POSTED it"),
      C("GET /b HTTP/1.1\r\n\r\n"), S(OK2)},
     "POST /a 417 @1,2,2 <POSTED it> <no>\nGET /b 200 @4,5,5 <> <ok>\n",
     false},
    {"401 instead of 100, chunked and not sent",
     {C("PUT /a HTTP/1.1\r\nExpect: 100-Continue\r\nTransfer-Encoding: chunked\r\n\r\n"),
      S("HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n"), C("DELETE /b HTTP/1.1\r\n\r\n"), S(OK2)},
     "PUT /a 401 @1,2,2 REQUEST_CUT <> <>\nDELETE /b 200 @3,4,4 <> <ok>\n",
     false},
    {"an answer before the body has ended",
     {C("POST /a HTTP/1.1\r\nContent-Length: 6\r\n\r\nabc"),
      S("HTTP/1.1 401 No\r\nContent-Length: 2\r\n\r\nno"), C("def"), C("GET /b HTTP/1.1\r\n\r\n"),
      S(OK2)},
     "POST /a 401 @1,2,2 <abcdef> <no>\nGET /b 200 @4,5,5 <> <ok>\n",
     false},
    {"an answer before the body, which never ends",
     {C("POST /a HTTP/1.1\r\nContent-Length: 6\r\n\r\nabc"),
      S("HTTP/1.1 401 No\r\nContent-Length: 2\r\n\r\nno"), SEND, CEND},
     "POST /a 401 @1,2,2 REQUEST_CUT <abc> <no>\n",
     false},
    {"a response before any request",
     {S("HTTP/1.1 408 Late\r\nContent-Length: 2\r\n\r\nno"), C("GET /a HTTP/1.1\r\n\r\n"), S(OK2)},
     "GET /a 200 @2,3,3 <> <ok>\nunpaired 1\n",
     false},
    {"a response to nobody, between transactions",
     {C("GET /a HTTP/1.1\r\n\r\n"), S(OK2), S("HTTP/1.1 408 Late\r\nContent-Length: 2\r\n\r\nno"),
      C("GET /b HTTP/1.1\r\n\r\n"), S(OK2)},
     "GET /a 200 @1,2,2 <> <ok>\nGET /b 200 @4,5,5 <> <ok>\nunpaired 1\n",
     false},
    {"no HTTP where a request should begin",
     {C("GET /a HTTP/1.1\r\n\r\n"), S(OK2), C("\x16\x03\x01"), C("GET /b HTTP/1.1\r\n\r\n"),
      S(OK2)},
     "GET /a 200 @1,2,2 <> <ok>\nGET /b 200 @4,5,5 <> <ok>\nmalformed 1\nresynchronised 1\n",
     false},
    {"no HTTP where a response should begin",
     {C("GET /a HTTP/1.1\r\n\r\n"), S("\x15\x03\x01"), C("GET /b HTTP/1.1\r\n\r\n"), S(OK2)},
     "GET /a 0 @1,0,3 RESPONSE_GAP NO_RESPONSE <> <>\nGET /b 200 @3,4,4 <> <ok>\nmalformed 1\n"
     "resynchronised 1\n",
     false},
    {"a start line that is none",
     {C("GET /a HTTP/1.1\r\n\r\n"), S(OK2), C("GET /b\r\n"), C("GET /c HTTP/1.1\r\n\r\n"), S(OK2)},
     "GET /a 200 @1,2,2 <> <ok>\nGET /c 200 @4,5,5 <> <ok>\nmalformed 1\nresynchronised 1\n",
     false},
};

/* A head that is longer than allowed is given up, whether it comes whole or in parts. */
static void check_long_head(const struct settings *settings, uint32_t padding, const char *expected)
{
    char *text = malloc(padding + 64);
    int start = sprintf(text, "GET /a HTTP/1.1\r\nX: ");
    memset(text + start, 'x', padding);
    memcpy(text + start + padding, "\r\n\r\n", 4);
    uint32_t bytes = (uint32_t)start + padding + 4;
    struct row row = {"long head", {{PIECE_DATA, TO_SERVER, text, bytes}, S(OK2)}, expected, false};
    check_row(settings, &row);
    free(text);
}

/* Memory that is short costs transactions, never more: converse() checks that all of it is given
 * back. */
static void check_short_memory(const struct settings *settings)
{
    static struct result result;
    struct counters counters;
    uint64_t shed = 0;
    for (size_t memory = 512; memory < 6000; memory += 61) {
        struct settings small = *settings;
        small.memory_bytes = memory;
        for (size_t i = 0; i < sizeof pairing / sizeof *pairing; i++) {
            converse(&small, pairing[i].pieces, NULL, FEED_RANDOM, memory, &result, &counters);
            shed += counters.value[COUNT_memory_shed];
        }
    }
    CHECK(shed > 0);
}

int main(void)
{
    struct interest *interest = interest_open();
    CHECK(interest_add_path(interest, "*", "*", WANT_REQUEST_BODY | WANT_RESPONSE_BODY,
                            (struct needles){0}, (struct needles){0}));
    struct settings settings = {interest, test_limits(), 1 << 20, 80};
    for (size_t i = 0; i < sizeof framing / sizeof *framing; i++)
        check_row(&settings, &framing[i]);
    for (size_t i = 0; i < sizeof pairing / sizeof *pairing; i++)
        check_row(&settings, &pairing[i]);
    check_long_head(&settings, 16000, "GET /a 200 @1,2,2 <> <ok>\n");
    check_long_head(&settings, 16384, "malformed 1\nunpaired 1\n");
    check_short_memory(&settings);
    interest_close(interest);
    return checks_report("http1");
}
