/* links: protocol*.c framing.c libvirt.c authd.c nfc*.c vix*.c tls*.c http*.c choice.c pending.c interest.c interest_match.c needles.c objects.c operations.c soap.c body.c block.c tokens.c kept.c */
/* HTTP/2, nothing lost: frames, field blocks, streams, and how they end. */
#include "http2_script.h"

static struct script script;

static void expect(const struct settings *settings, const char *expected)
{
    script.row.pieces[script.pieces] = (struct piece){0};
    script.row.expected = expected;
    check_row(settings, &script.row);
}

static void check_exchanges(const struct settings *settings)
{
    begin(&script, "no bodies");
    headers(&script, TO_SERVER, 1, END_STREAM, GET("/a"));
    headers(&script, TO_CLIENT, 1, END_STREAM, STATUS("204"));
    expect(settings, "GET /a 204 @3,4,4 HTTP2 <> <>\n");

    begin(&script, "bodies both ways, answered as a whole");
    headers(&script, TO_SERVER, 1, 0, POST("/a"));
    data(&script, TO_SERVER, 1, 0, "ab");
    data(&script, TO_SERVER, 1, END_STREAM, "c");
    answer(&script, 1, "ok");
    expect(settings, "POST /a 200 @3,4,4 HTTP2 <abc> <ok>\n");

    begin(&script, "empty frames of data");
    headers(&script, TO_SERVER, 1, 0, POST("/a"));
    data(&script, TO_SERVER, 1, 0, "");
    data(&script, TO_SERVER, 1, END_STREAM, "");
    answer(&script, 1, "");
    expect(settings, "POST /a 200 @3,4,4 HTTP2 <> <>\n");

    begin(&script, "answered in another order, interleaved");
    headers(&script, TO_SERVER, 1, 0, POST("/a"));
    headers(&script, TO_SERVER, 3, 0, POST("/b"));
    data(&script, TO_SERVER, 1, 0, "a");
    data(&script, TO_SERVER, 3, END_STREAM, "bb");
    data(&script, TO_SERVER, 1, END_STREAM, "a");
    headers(&script, TO_CLIENT, 3, 0, STATUS("200"));
    headers(&script, TO_CLIENT, 1, 0, STATUS("404"));
    data(&script, TO_CLIENT, 1, 0, "n");
    data(&script, TO_CLIENT, 3, END_STREAM, "3");
    data(&script, TO_CLIENT, 1, END_STREAM, "o");
    expect(settings, "POST /b 200 @3,4,4 HTTP2 <bb> <3>\n"
                     "POST /a 404 @3,4,4 HTTP2 <aa> <no>\n");

    begin(&script, "answered before the request is whole");
    headers(&script, TO_SERVER, 1, 0, POST("/a"));
    answer(&script, 1, "no");
    data(&script, TO_SERVER, 1, END_STREAM, "late");
    expect(settings, "POST /a 200 @3,4,4 HTTP2 <late> <no>\n");

    begin(&script, "interim responses and trailers");
    headers(&script, TO_SERVER, 1, 0, POST("/a"));
    data(&script, TO_SERVER, 1, 0, "a");
    headers(&script, TO_SERVER, 1, END_STREAM, FIELDS("x-sum", "1"));
    headers(&script, TO_CLIENT, 1, 0, STATUS("100"));
    headers(&script, TO_CLIENT, 1, 0, STATUS("103"));
    headers(&script, TO_CLIENT, 1, 0, STATUS("200"));
    data(&script, TO_CLIENT, 1, 0, "b");
    headers(&script, TO_CLIENT, 1, END_STREAM, FIELDS("x-sum", "2"));
    expect(settings, "POST /a 200 @3,4,4 INTERIM HTTP2 <a> <b>\n");

    begin_with_nothing(&script, "the server speaks first");
    frame(&script, TO_CLIENT, SETTINGS, 0, 0, "\0\3\0\0\0\x64", 6);
    say(&script, TO_SERVER, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24);
    frame(&script, TO_SERVER, SETTINGS, 0, 0, NULL, 0);
    headers(&script, TO_SERVER, 1, END_STREAM, GET("/a"));
    answer(&script, 1, "ok");
    expect(settings, "GET /a 200 @2,3,3 HTTP2 <> <ok>\n");
}

static void check_frames(const struct settings *settings)
{
    static uint8_t block[BLOCK_BYTES_MAX], padded[BLOCK_BYTES_MAX];
    uint32_t bytes = put_fields(block, 0, GET("/a"));

    begin(&script, "a field block in three frames, the middle one empty");
    frame(&script, TO_SERVER, HEADERS, END_STREAM, 1, block, 9);
    frame(&script, TO_SERVER, CONTINUATION, 0, 1, NULL, 0);
    frame(&script, TO_SERVER, CONTINUATION, END_HEADERS, 1, block + 9, bytes - 9);
    answer(&script, 1, "ok");
    expect(settings, "GET /a 200 @3,4,4 HTTP2 <> <ok>\n");

    begin(&script, "padding and priority");
    padded[0] = 7;
    memcpy(padded + 1, "\x80\0\0\0\x0f", 5);
    memcpy(padded + 6, block, bytes);
    memset(padded + 6 + bytes, 0, 7);
    frame(&script, TO_SERVER, HEADERS, END_HEADERS | PADDED | PRIORITISED, 1, padded, 13 + bytes);
    frame(&script, TO_SERVER, DATA, PADDED, 1, "\3abc\0\0\0", 7);
    frame(&script, TO_SERVER, DATA, PADDED, 1, "\2\0\0", 3);
    frame(&script, TO_SERVER, DATA, PADDED | END_STREAM, 1, "\0d", 2);
    answer(&script, 1, "ok");
    expect(settings, "GET /a 200 @3,4,4 HTTP2 <abcd> <ok>\n");

    begin(&script, "frames in between that say nothing of requests");
    headers(&script, TO_SERVER, 1, 0, POST("/a"));
    frame(&script, TO_SERVER, PRIORITY, 0, 5, "\0\0\0\1\0", 5);
    frame(&script, TO_SERVER, WINDOW_UPDATE, 0, 0, "\0\1\0\0", 4);
    frame(&script, TO_SERVER, PING, 0, 0, "pingpong", 8);
    frame(&script, TO_SERVER, 16, 0, 0, "\0\0\0\1u=1", 7);
    frame(&script, TO_SERVER, 0xfa, 0xff, 1, "grease", 6);
    data(&script, TO_SERVER, 1, END_STREAM, "x");
    frame(&script, TO_CLIENT, PING, ACK, 0, "pingpong", 8);
    frame(&script, TO_CLIENT, 12, 0, 0, "\0\0", 2);
    answer(&script, 1, "ok");
    expect(settings, "POST /a 200 @3,4,4 HTTP2 <x> <ok>\n");

    begin(&script, "a promise changes the table, and is no request");
    headers(&script, TO_SERVER, 1, END_STREAM, GET("/a"));
    memcpy(padded, "\0\0\0\2", 4);
    bytes = put_fields(padded + 4, 0x40,
                       FIELDS(":method", "GET", ":scheme", "http", ":path", "/b", "x-note", "1"));
    frame(&script, TO_CLIENT, PUSH_PROMISE, END_HEADERS, 1, padded, 4 + bytes);
    answer(&script, 2, "pushed");
    /* ":status: 200", and the newest entry */
    frame(&script, TO_CLIENT, HEADERS, END_HEADERS, 1, "\x88\xbe", 2);
    data(&script, TO_CLIENT, 1, END_STREAM, "ok");
    expect(settings, "GET /a 200 @3,4,4 HTTP2 <> <ok>\n");
}

static void check_table(const struct settings *settings)
{
    static uint8_t block[BLOCK_BYTES_MAX];

    begin(&script, "the second request is an index into the table of the first");
    uint32_t bytes = put_fields(block, 0x40, GET("/a"));
    frame(&script, TO_SERVER, HEADERS, END_HEADERS | END_STREAM, 1, block, bytes);
    frame(&script, TO_SERVER, HEADERS, END_HEADERS | END_STREAM, 3, "\xc1\xc0\xbf\xbe", 4);
    answer(&script, 1, "1");
    answer(&script, 3, "2");
    expect(settings, "GET /a 200 @3,4,4 HTTP2 <> <1>\nGET /a 200 @3,4,4 HTTP2 <> <2>\n");

    begin(&script, "also that of a request whose stream is over");
    frame(&script, TO_SERVER, HEADERS, END_HEADERS, 1, block, bytes);
    frame(&script, TO_CLIENT, RST_STREAM, 0, 1, "\0\0\0\7", 4);
    frame(&script, TO_SERVER, HEADERS, END_HEADERS | END_STREAM, 3, "\xc1\xc0\xbf\xbe", 4);
    answer(&script, 3, "2");
    expect(settings, "GET /a 0 @3,0,4 REQUEST_CUT NO_RESPONSE HTTP2 <> <>\n"
                     "GET /a 200 @5,6,6 HTTP2 <> <2>\n");

    begin(&script, "the table shrinks to nothing and grows beyond its first size");
    frame(&script, TO_SERVER, HEADERS, END_HEADERS | END_STREAM, 1, block, bytes);
    frame(&script, TO_SERVER, SETTINGS, ACK, 0, NULL, 0);
    uint8_t resized[BLOCK_BYTES_MAX] = {0x20, 0x3f, 0xe1, 0xff, 3}; /* 0, then 65536 */
    memcpy(resized + 5, block, bytes);
    frame(&script, TO_SERVER, HEADERS, END_HEADERS | END_STREAM, 3, resized, 5 + bytes);
    frame(&script, TO_SERVER, HEADERS, END_HEADERS | END_STREAM, 5, "\xc1\xc0\xbf\xbe", 4);
    answer(&script, 5, "3");
    expect(settings, "GET /a 200 @3,4,4 HTTP2 <> <3>\n"
                     "GET /a 0 @3,0,99 NO_RESPONSE HTTP2 <> <>\n"
                     "GET /a 0 @3,0,99 NO_RESPONSE HTTP2 <> <>\n");
}

static void check_ends(const struct settings *settings)
{
    begin(&script, "reset by the client before the answer, and what was on its way");
    headers(&script, TO_SERVER, 1, END_STREAM, GET("/a"));
    headers(&script, TO_CLIENT, 1, 0, STATUS("100"));
    frame(&script, TO_SERVER, RST_STREAM, 0, 1, "\0\0\0\x08", 4);
    answer(&script, 1, "late");
    expect(settings, "GET /a 0 @3,0,5 NO_RESPONSE INTERIM HTTP2 <> <>\n");

    begin(&script, "reset in the middle of the answer");
    headers(&script, TO_SERVER, 1, END_STREAM, GET("/a"));
    headers(&script, TO_CLIENT, 1, 0, STATUS("200"));
    data(&script, TO_CLIENT, 1, 0, "half");
    frame(&script, TO_CLIENT, RST_STREAM, 0, 1, "\0\0\0\2", 4);
    expect(settings, "GET /a 200 @3,4,4 RESPONSE_CUT HTTP2 <> <half>\n");

    begin(&script, "a whole answer, and the rest of the request not wanted");
    headers(&script, TO_SERVER, 1, 0, POST("/a"));
    data(&script, TO_SERVER, 1, 0, "much");
    answer(&script, 1, "no");
    frame(&script, TO_CLIENT, RST_STREAM, 0, 1, "\0\0\0\0", 4);
    expect(settings, "POST /a 200 @3,4,4 REQUEST_CUT HTTP2 <much> <no>\n");

    begin(&script, "a whole answer before an end that says nothing more");
    headers(&script, TO_SERVER, 1, 0, FIELDS(":method", "DELETE", ":path", "/a"));
    headers(&script, TO_CLIENT, 1, END_STREAM, STATUS("200"));
    frame(&script, TO_CLIENT, RST_STREAM, 0, 1, "\0\0\0\0", 4);
    data(&script, TO_SERVER, 1, END_STREAM, "");
    expect(settings, "DELETE /a 200 @3,4,4 HTTP2 <> <>\n");

    begin(&script, "the server goes away: what it does not process has no answer");
    headers(&script, TO_SERVER, 1, END_STREAM, GET("/a"));
    headers(&script, TO_SERVER, 3, END_STREAM, GET("/b"));
    frame(&script, TO_CLIENT, GOAWAY, 0, 0, "\0\0\0\1\0\0\0\0bye", 11);
    answer(&script, 1, "ok");
    expect(settings, "GET /b 0 @3,0,4 NO_RESPONSE HTTP2 <> <>\n"
                     "GET /a 200 @3,4,4 HTTP2 <> <ok>\n");

    begin(&script, "the connection ends within both messages");
    headers(&script, TO_SERVER, 1, 0, POST("/a"));
    data(&script, TO_SERVER, 1, 0, "x");
    headers(&script, TO_SERVER, 3, END_STREAM, GET("/b"));
    headers(&script, TO_CLIENT, 3, 0, STATUS("200"));
    data(&script, TO_CLIENT, 3, 0, "y");
    end(&script, TO_CLIENT);
    end(&script, TO_SERVER);
    expect(settings, "GET /b 200 @3,4,5 RESPONSE_CUT HTTP2 <> <y>\n"
                     "POST /a 0 @3,0,99 REQUEST_CUT NO_RESPONSE HTTP2 <x> <>\n");

    begin(&script, "END_STREAM without a response");
    headers(&script, TO_SERVER, 1, END_STREAM, GET("/a"));
    data(&script, TO_CLIENT, 1, END_STREAM, "?");
    expect(settings, "GET /a 0 @3,0,4 NO_RESPONSE HTTP2 <> <>\n");
}

static void check_tunnels(const struct settings *settings)
{
    begin(&script, "a WebSocket: RFC 8441");
    headers(&script, TO_SERVER, 1, 0,
            FIELDS(":method", "CONNECT", ":protocol", "websocket", ":scheme", "https", ":path",
                   "/ticket/t", ":authority", "h"));
    headers(&script, TO_CLIENT, 1, 0, STATUS("200"));
    data(&script, TO_SERVER, 1, 0, "frames");
    data(&script, TO_CLIENT, 1, END_STREAM, "frames");
    expect(settings, "GET /ticket/t 101 @3,4,4 HTTP2 <> <>\n");

    begin(&script, "a WebSocket refused");
    headers(&script, TO_SERVER, 1, 0,
            FIELDS(":method", "CONNECT", ":protocol", "websocket", ":scheme", "https", ":path",
                   "/ticket/t", ":authority", "h"));
    headers(&script, TO_CLIENT, 1, 0, STATUS("403"));
    data(&script, TO_CLIENT, 1, END_STREAM, "no");
    expect(settings, "GET /ticket/t 403 @3,4,4 HTTP2 <> <no>\n");

    begin(&script, "a tunnel");
    headers(&script, TO_SERVER, 1, 0, FIELDS(":method", "CONNECT", ":authority", "h:443"));
    headers(&script, TO_CLIENT, 1, 0, STATUS("200"));
    data(&script, TO_SERVER, 1, 0, "GET /x HTTP/1.1\r\n\r\n");
    expect(settings, "CONNECT h:443 200 @3,4,4 HTTP2 <> <>\n");
}

static void check_upgrade(const struct settings *settings)
{
#define ASK "GET /a HTTP/1.1\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n" \
            "HTTP2-Settings: AAMAAABk\r\n\r\n"
#define SWITCH "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
    begin_with_nothing(&script, "from HTTP/1.1: the request is stream 1");
    say(&script, TO_SERVER, ASK, sizeof ASK - 1);
    say(&script, TO_CLIENT, SWITCH, sizeof SWITCH - 1);
    frame(&script, TO_CLIENT, SETTINGS, 0, 0, NULL, 0);
    say(&script, TO_SERVER, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24);
    frame(&script, TO_SERVER, SETTINGS, 0, 0, NULL, 0);
    answer(&script, 1, "one");
    headers(&script, TO_SERVER, 3, END_STREAM, GET("/b"));
    answer(&script, 3, "two");
    expect(settings, "GET /a 200 @1,4,4 INTERIM HTTP2 <> <one>\n"
                     "GET /b 200 @5,6,6 HTTP2 <> <two>\n");
}

static void check_inside(const struct settings *settings)
{
#define PROXY_LINE "PROXY TCP4 10.0.0.1 10.0.0.2 1234 443\r\n"
    begin_with_nothing(&script, "behind a PROXY header");
    say(&script, TO_SERVER, PROXY_LINE, sizeof PROXY_LINE - 1);
    prefaces(&script);
    headers(&script, TO_SERVER, 1, END_STREAM, GET("/a"));
    answer(&script, 1, "ok");
    expect(settings, "proxy @1 PROXY TCP4 10.0.0.1 10.0.0.2 1234 443\\0d\\0a\n"
                     "GET /a 200 @3,4,4 HTTP2 <> <ok>\n");

    begin_with_nothing(&script, "in a tunnel of HTTP/1.1");
    say(&script, TO_SERVER, "CONNECT h:443 HTTP/1.1\r\n\r\n", 26);
    say(&script, TO_CLIENT, "HTTP/1.1 200 OK\r\n\r\n", 19);
    prefaces(&script);
    headers(&script, TO_SERVER, 1, END_STREAM, GET("/a"));
    answer(&script, 1, "ok");
    expect(settings, "CONNECT h:443 200 @1,2,2 <> <>\n"
                     "GET /a 200 @5,6,6 TUNNELLED HTTP2 <> <ok>\n");
}

int main(void)
{
    struct interest *interest = interest_open();
    CHECK(interest_add_path(interest, "*", "*", WANT_REQUEST_BODY | WANT_RESPONSE_BODY,
                            (struct needles){0}, (struct needles){0}));
    struct settings settings = {interest, test_limits(), 1 << 20, 80};
    check_exchanges(&settings);
    check_frames(&settings);
    check_table(&settings);
    check_ends(&settings);
    check_tunnels(&settings);
    check_upgrade(&settings);
    check_inside(&settings);
    interest_close(interest);
    return checks_report("http2");
}
