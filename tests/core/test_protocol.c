/* links: protocol*.c framing.c libvirt.c authd.c nfc*.c vix*.c tls*.c http*.c choice.c pending.c interest.c interest_match.c needles.c objects.c operations.c soap.c body.c block.c tokens.c kept.c */
/* What the bytes of a flow are: PROXY headers, HTTP, tunnels, upgrades, opaque streams. */
#include "conversation.h"

#define GET(target) "GET " target " HTTP/1.1\r\n\r\n"
#define OK2 "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
#define CONNECT "CONNECT h:443 HTTP/1.1\r\n\r\n"
#define ESTABLISHED "HTTP/1.1 200 Connection established\r\n\r\n"
#define V1 "PROXY TCP4 10.0.0.1 10.0.0.2 1234 443\r\n"
#define V2                                                                                         \
    "\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0f"                                                           \
    "\x0a\0\0\1\x0a\0\0\2\x04\xd2\x01\xbb"                                                         \
    "\x04\0\0"
#define V2_SHOWN                                                                                   \
    "\\0d\\0a\\0d\\0a\\00\\0d\\0aQUIT\\0a!\\11\\00\\0f" \
    "\\0a\\00\\00\\01\\0a\\00\\00\\02\\04\\d2\\01\\bb\\04\\00\\00"

static const struct row web[] = {
    {"PROXY v1",
     {C(V1 GET("/a")), S(OK2)},
     "proxy @1 PROXY TCP4 10.0.0.1 10.0.0.2 1234 443\\0d\\0a\nGET /a 200 @1,2,2 <> <ok>\n",
     false},
    {"PROXY v2 with a TLV",
     {C(V2), C(GET("/a")), S(OK2)},
     "proxy @1 " V2_SHOWN "\nGET /a 200 @2,3,3 <> <ok>\n",
     false},
    {"one PROXY header only",
     {C(V1 V1)},
     "proxy @1 PROXY TCP4 10.0.0.1 10.0.0.2 1234 443\\0d\\0a\n",
     true},
    {"not quite PROXY",
     {C("PROXY of something that has no line end within a hundred and seven bytes, so it is "
        "no header, and no HTTP either")},
     "",
     true},
    {"PROPFIND begins like PROXY",
     {C("PROPFIND /a HTTP/1.1\r\n\r\n"), S(OK2)},
     "PROPFIND /a 200 @1,2,2 <> <ok>\n",
     false},
    {"empty lines begin like PROXY v2",
     {C("\r\n\r\n" GET("/a")), S(OK2)},
     "GET /a 200 @1,2,2 <> <ok>\n",
     false},
    {"HTTP in a tunnel",
     {C(CONNECT), S(ESTABLISHED), C(GET("/a")), S(OK2)},
     "CONNECT h:443 200 @1,2,2 <> <>\nGET /a 200 @3,4,4 TUNNELLED <> <ok>\n",
     false},
    {"the tunnel is used before it is granted",
     {C(CONNECT GET("/a")), S(ESTABLISHED OK2), C(GET("/b")), S(OK2)},
     "CONNECT h:443 200 @1,2,2 <> <>\nGET /a 200 @1,2,2 TUNNELLED <> <ok>\n"
     "GET /b 200 @3,4,4 TUNNELLED <> <ok>\n",
     false},
    {"the tunnel is used before it is refused",
     {C(CONNECT), C("\x16\x03\x01"), S("HTTP/1.1 407 Auth\r\nContent-Length: 2\r\n\r\nno"),
      C(CONNECT), S(ESTABLISHED)},
     "CONNECT h:443 407 @1,3,3 <> <no>\nCONNECT h:443 200 @4,5,5 <> <>\nresynchronised 1\n",
     false},
    {"407, then the tunnel, on one flow",
     {C(CONNECT), S("HTTP/1.1 407 Auth\r\nContent-Length: 2\r\n\r\nno"), C(CONNECT), S(ESTABLISHED),
      C(GET("/a")), S(OK2)},
     "CONNECT h:443 407 @1,2,2 <> <no>\nCONNECT h:443 200 @3,4,4 <> <>\n"
     "GET /a 200 @5,6,6 TUNNELLED <> <ok>\n",
     false},
    {"a tunnel in a tunnel, PROXY header and all",
     {C(CONNECT), S(ESTABLISHED), C(V1 CONNECT), S(ESTABLISHED), C(GET("/a")), S(OK2)},
     "CONNECT h:443 200 @1,2,2 <> <>\nproxy @3 PROXY TCP4 10.0.0.1 10.0.0.2 1234 443\\0d\\0a\n"
     "CONNECT h:443 200 @3,4,4 TUNNELLED <> <>\nGET /a 200 @5,6,6 TUNNELLED <> <ok>\n",
     false},
    {"no HTTP in the tunnel",
     {C(CONNECT), S(ESTABLISHED), C("\x16\x03\x01GET"), S("\x16\x03\x03")},
     "CONNECT h:443 200 @1,2,2 <> <>\n",
     false},
    {"first nothing we know in the tunnel, then HTTP: decryption may set in late",
     {C(CONNECT), S(ESTABLISHED), C("\x16\x03\x01"), S("\x16\x03\x03"), C(GET("/a")), S(OK2)},
     "CONNECT h:443 200 @1,2,2 <> <>\nGET /a 200 @5,6,6 TUNNELLED <> <ok>\nresynchronised 2\n",
     false},
    {"a gap in the tunnel before it is granted",
     {C(CONNECT), CGAP(7), S(ESTABLISHED), C(GET("/a")), S(OK2)},
     "CONNECT h:443 200 @1,3,3 <> <>\nGET /a 200 @4,5,5 TUNNELLED <> <ok>\nresynchronised 1\n",
     false},
    {"the answer to CONNECT is lost, the tunnel is not",
     {C(CONNECT), SGAP(39), C("\x16\x03\x01"), S("\x16\x03\x03"), C(GET("/a")), S(OK2)},
     "CONNECT h:443 0 @1,0,3 RESPONSE_GAP NO_RESPONSE <> <>\nGET /a 200 @5,6,6 <> <ok>\n"
     "resynchronised 2\n",
     false},
    {"the answer to CONNECT is lost after the client has spoken",
     {C(CONNECT "early"), SGAP(39), C(GET("/a")), S(OK2)},
     "CONNECT h:443 0 @1,0,3 RESPONSE_GAP NO_RESPONSE <> <>\nGET /a 200 @3,4,4 <> <ok>\n"
     "resynchronised 2\n",
     false},
    {"CONNECT without an answer",
     {C(CONNECT), C("abc"), CEND},
     "CONNECT h:443 0 @1,0,99 NO_RESPONSE <> <>\n",
     false},
    {"each request has its own time, also where the first one straddles chunks",
     {C("GET /a HT"), C("TP/1.1\r\n\r\n" GET("/b")), S(OK2 OK2)},
     "GET /a 200 @1,3,3 <> <ok>\nGET /b 200 @2,3,3 <> <ok>\n",
     false},
    {"an empty line before a request is no part of it",
     {C(CONNECT "\r"), S(ESTABLISHED), C("\n" GET("/a")), S(OK2)},
     "CONNECT h:443 200 @1,2,2 <> <>\nGET /a 200 @3,4,4 TUNNELLED <> <ok>\n",
     false},
    {"an upgrade ends HTTP for good",
     {C("GET /ws HTTP/1.1\r\nUpgrade: websocket\r\n\r\n"),
      S("HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\n\r\n\x81\x02hi"), C(GET("/a")), S(OK2)},
     "GET /ws 101 @1,2,2 <> <>\n",
     false},
    {"an upgrade that is refused",
     {C("GET /ws HTTP/1.1\r\nUpgrade: websocket\r\n\r\n"), S(OK2), C(GET("/a")), S(OK2)},
     "GET /ws 200 @1,2,2 <> <ok>\nGET /a 200 @3,4,4 <> <ok>\n",
     false},
    {"HTTP/2 from the start is not ours",
     {C("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), S("\0\0\6\4\0\0\0\0\0")},
     "",
     false},
    {"the server speaks first and it is no HTTP", {S("220 ready\r\n"), C("USER x\r\n")}, "", false},
    {"HTTP after a greeting nobody knows",
     {S("hello\n"), C(GET("/a")), S(OK2)},
     "GET /a 200 @2,3,3 <> <ok>\nresynchronised 2\n",
     false},
};

static const struct row asked[] = {
    {"chunks",
     {S("220 ready\r\n"), C("USER x\r\n"), S("331\r\n")},
     "chunk< 220 ready\\0d\\0a\nchunk> USER x\\0d\\0a\nchunk< 331\\0d\\0a\n",
     true},
    {"gaps among them",
     {S("220 "), SGAP(5), S("y\r\n"), C("U"), CGAP(3)},
     "chunk< 220 \ngap< 5\nchunk< y\\0d\\0a\nchunk> U\ngap> 3\n",
     true},
    {"a gap first", {CGAP(5), C("abc")}, "gap> 5\nchunk> abc\n", true},
    {"what might have become HTTP",
     {C("GET thr"), S("no"), CEND},
     "chunk> GET thr\nchunk< no\n",
     true},
    {"what might have become HTTP, and then a gap",
     {C("GET thr"), CGAP(2), C("x")},
     "chunk> GET thr\ngap> 2\nchunk> x\n",
     true},
    {"what might have become HTTP, and then the end", {C("POS")}, "chunk> POS\n", true},
    {"held both ways, told in the order it came",
     {S("HTTP/1"), C("POS"), CEND},
     "chunk< HTTP/1\nchunk> POS\n",
     true},
    {"no more than asked for a direction; what follows is not even a gap",
     {C("0123456789012345678901234567890123456789012345678901234567890123456789"), CGAP(1),
      C("more"), S("yes")},
     "chunk> 0123456789012345678901234567890123456789012345678901234567890123\nchunk< yes\n",
     true},
    {"HTTP is HTTP here too", {C(GET("/a")), S(OK2)}, "GET /a 200 @1,2,2 <> <ok>\n", false},
    {"bytes after an upgrade",
     {C("GET /ws HTTP/1.1\r\nUpgrade: x\r\n\r\n"), S("HTTP/1.1 101 Switching\r\n\r\nhi"), C("ho")},
     "GET /ws 101 @1,2,2 <> <>\nchunk< hi\nchunk> ho\n",
     true},
    {"bytes in a tunnel, said before it is granted",
     {C(CONNECT "early"), S(ESTABLISHED "late")},
     "CONNECT h:443 200 @1,2,2 <> <>\nchunk> early\nchunk< late\n",
     true},
    {"PROXY header before it",
     {C(V1 "USER x\r\n")},
     "proxy @1 PROXY TCP4 10.0.0.1 10.0.0.2 1234 443\\0d\\0a\nchunk> USER x\\0d\\0a\n",
     true},
};

static void check_skipped_bytes(const struct settings *settings)
{
    static struct result result;
    struct counters counters;
    const struct piece pieces[PIECES_MAX] = {S("220 ready\r\n"), C("GET"), C("X yes"), {0}};
    struct settings plain = *settings;
    plain.server_port = 81;
    converse(&plain, pieces, NULL, FEED_WHOLE, 1, &result, &counters);
    CHECK(counters.value[COUNT_stream_skipped_bytes] == 19);
    CHECK(counters.value[COUNT_stream_chunk_bytes] == 0);
    converse(settings, pieces, NULL, FEED_WHOLE, 1, &result, &counters);
    CHECK(counters.value[COUNT_stream_skipped_bytes] == 0);
    CHECK(counters.value[COUNT_stream_chunk_bytes] == 19);
}

/* Between transactions a flow holds little: there may be hundreds of thousands. */
static void check_idle_memory(const struct settings *settings)
{
    enum { IDLE_BYTES_MAX = 512 };
    static struct result result;
    struct counters counters = {0};
    struct budget budget = {.limit_bytes = 1 << 20};
    struct flow flow = {.protocol = PROTO_TCP, .port = {80, 50000}};
    struct operations *operations = operations_open(&settings->limits, &counters);
    struct protocol_shared shared = {
        &settings->limits,
        settings->interest,
        &budget,
        &counters,
        operations,
        NULL,
        {&result, on_transaction, on_proxy_header, on_chunk, on_gap, NULL, on_message},
    };
    const struct piece pieces[] = {C("GET /a HTTP/1.1\r\nX-Token: a\r\n\r\n"), S(OK2)};
    uint64_t seed = 1;
    result = (struct result){.run = -1};
    struct protocol *protocol = protocol_open(&shared, &flow);
    feed_piece(protocol, &pieces[0], 1, FEED_BYTES, &seed);
    CHECK(budget.used_bytes > IDLE_BYTES_MAX);
    feed_piece(protocol, &pieces[1], 2, FEED_BYTES, &seed);
    CHECK(budget.used_bytes < IDLE_BYTES_MAX);
    protocol_close(protocol, 3);
    CHECK(strcmp(result.text, "GET /a 200 @1,2,2 NEW_TOKEN <> <ok>\n") == 0);
    CHECK(budget.used_bytes == 0);
    operations_close(operations);
}

int main(void)
{
    struct interest *interest = interest_open();
    CHECK(interest_add_path(interest, "*", "*", WANT_REQUEST_BODY | WANT_RESPONSE_BODY,
                            (struct needles){0}, (struct needles){0}));
    CHECK(interest_add_port(interest, PROTO_TCP, 902));
    CHECK(interest_add_token_header(interest, "x-token"));
    struct settings settings = {interest, test_limits(), 1 << 20, 80};
    for (size_t i = 0; i < sizeof web / sizeof *web; i++)
        check_row(&settings, &web[i]);
    settings.server_port = 902;
    for (size_t i = 0; i < sizeof asked / sizeof *asked; i++)
        check_row(&settings, &asked[i]);
    check_skipped_bytes(&settings);
    check_idle_memory(&settings);
    interest_close(interest);
    return checks_report("protocol");
}
