/* links: protocol*.c framing.c libvirt.c authd.c nfc*.c vix*.c tls*.c http*.c choice.c pending.c interest.c interest_match.c needles.c objects.c operations.c soap.c body.c block.c tokens.c kept.c */
/* The dialogue of vmware-authd, in clear: its lines, what is left out of them, and what takes over. */
#include "conversation.h"

#define HELLO "220 VMware Authentication Daemon Version 1.0, ServerDaemonProtocol:SOAP, , "
#define GREETING S(HELLO "\r\n")
#define GREETED "authd< " HELLO " @1\n"
#define CONNECTED S("200 Connect ha-nfc\r\n")
#define AIO_CLOSE "\x7a\xda\0\xa1\x03\0\0\0\x04\0\0\0\x09\0\0\0\0\0\0\0"
#define AIO_CLOSED "z\\da\\00\\a1\\03\\00\\00\\00\\04\\00\\00\\00\\09"

static const struct row rows[] = {
    {"a login",
     {GREETING, C("USER bob\r\n"), S("331 Password required for bob.\r\n"), C("PASS hunter2\r\n"),
      S("230 User bob logged in.\r\n")},
     GREETED "authd> USER bob @2\nauthd< 331 Password required for bob. @3\n"
             "authd> PASS 14 BLANKED @4\nauthd< 230 User bob logged in. @5\n",
     false},
    {"however the password's verb is written",
     {GREETING, C("pass hunter2\r\n  Pass\thunter2 x\r\nPASSWORD=hunter2\r\nXPAS a hunter2\r\n"),
      C("PASS\r\n")},
     GREETED "authd> pass 14 BLANKED @2\nauthd> Pass 18 BLANKED @2\nauthd> PASS 18 BLANKED @2\n"
             "authd> XPAS 16 BLANKED @2\nauthd> PASS @3\n",
     false},
    {"of an unknown command the verb alone",
     {GREETING, C("LOGIN bob hunter2\r\nHELP\r\n")},
     GREETED "authd> LOGIN 19 BLANKED @2\nauthd> HELP @2\n",
     false},
    {"a line feed in a password does not end it",
     {GREETING, C("PASS a\nhunter2\r\nUSER bob\r\n")},
     GREETED "authd> PASS 16 BLANKED @2\nauthd> USER bob @2\n",
     false},
    {"a client that ends its lines with a line feed alone",
     {GREETING, C("USER bob\n"), S("331 Password\r\n"), C("PASS hunter2\n"), S("530 Login\r\n"),
      C("USER eve\n")},
     GREETED "authd> USER bob @2\nauthd< 331 Password @3\nauthd> PASS 13 BLANKED @4\n"
             "authd< 530 Login @5\nauthd> USER eve @6\n",
     false},
    {"tickets and services",
     {GREETING, C("SESSION 52aa-bb\r\n"), C("THUMBPRINT_SHA2 PlainText\r\n"), S("200 AA:BB\r\n"),
      C("PROXY vpxa-nfc\r\n"), CONNECTED, C(AIO_CLOSE)},
     GREETED "authd> SESSION 52aa-bb @2\nauthd> THUMBPRINT_SHA2 PlainText @3\nauthd< 200 AA:BB @4\n"
             "authd> PROXY vpxa-nfc @5\nauthd< 200 Connect ha-nfc @6\naio> " AIO_CLOSED
             " 0*7 @7\n",
     true},
    {"said before the service is connected",
     {GREETING, C("PROXY vpxa-nfc\r\n" AIO_CLOSE), CONNECTED},
     GREETED "authd> PROXY vpxa-nfc @2\nauthd< 200 Connect ha-nfc @3\naio> " AIO_CLOSED " 0*7 @2\n",
     true},
    {"said before the service is refused",
     {GREETING, C("PROXY vpxa-nfc\r\nUSER bob\r\nPASS hun"), S("530 Please login\r\n"),
      C("ter2\r\n")},
     GREETED "authd> PROXY vpxa-nfc @2\nauthd< 530 Please login @3\nauthd> USER bob @2\n"
             "authd> PASS 14 BLANKED @2\n",
     false},
    {"a console",
     {GREETING, C("CONNECT /v/a.vmx mks\r\n"), S("200 Connect /v/a.vmx\r\n"), S("RFB 003.008\n"),
      C("RFB 003.008\n"), S("\1\2")},
     GREETED "authd> CONNECT /v/a.vmx mks @2\nauthd< 200 Connect /v/a.vmx @3\n"
             "console< RFB 003.008\\0a @4\nconsole>  12 BULK @5\nconsole<  2 BULK @6\n",
     true},
    {"a console's client begins with a number",
     {GREETING, C("CONNECT /v/a.vmx mks\r\n"), S("200 Connect /v/a.vmx\r\n"), C("cZTna+MaH+m6rhTa"),
      S("RFB 003.008\n"), C("RFB 003.008\n")},
     GREETED "authd> CONNECT /v/a.vmx mks @2\nauthd< 200 Connect /v/a.vmx @3\n"
             "console< RFB 003.008\\0a @5\nconsole>  28 BULK @4\n",
     true},
    {"a server that is no console",
     {GREETING, C("PROXY x\r\n"), S("200 Connect x\r\n"), C("?"), S("RFB 1"), C("more")},
     GREETED "authd> PROXY x @2\nauthd< 200 Connect x @3\n",
     true},
    {"a service that nobody knows",
     {GREETING, C("PROXY x\r\n"), S("200 Connect x\r\n"), C("\xff\xfe secret\r\n"), S("more\r\n")},
     GREETED "authd> PROXY x @2\nauthd< 200 Connect x @3\n",
     false},
    {"SOAP through authd",
     {GREETING, C("PROXY hostd\r\n"), S("200 Connect hostd\r\n"), C("GET /a HTTP/1.1\r\n\r\n"),
      S("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")},
     GREETED "authd> PROXY hostd @2\nauthd< 200 Connect hostd @3\nGET /a 200 @4,5,5 <> <ok>\n",
     false},
    {"bytes that are no text end the dialogue",
     {GREETING, C("USER b\0b\r\nPASS hunter2\r\n"), S("331 x\r\n")},
     GREETED,
     false},
    {"200 Connect that nobody asked for",
     {GREETING, S("200 Connect x\r\n"), C("USER bob\r\n")},
     GREETED "authd< 200 Connect x @2\nauthd> USER bob @3\n",
     false},
    {"a gap: silent until the next line",
     {GREETING, C("USER bob\r\nPA"), CGAP(3), C("hunter2\r\nUSER eve\r\n"), S("331"), SGAP(5),
      S(" password\r\n530 Login\r\n")},
     GREETED "authd> USER bob @2\ngap> 3\nauthd> USER eve @4\ngap< 5\nauthd< 530 Login @7\n"
             "again 2\n",
     false},
    {"a gap where the service was asked for",
     {GREETING, CGAP(12), CONNECTED, C(AIO_CLOSE)},
     GREETED "gap> 12\nauthd< 200 Connect ha-nfc @3\naio> " AIO_CLOSED " 0*7 @4\n",
     true},
    {"not quite authd", {S("220 VMware Authentication Demon\r\n"), C("PASS hunter2\r\n")}, "", false},
};

/* Of what comes after bytes that nobody knew, only a chunk that begins with a greeting is one. */
static void check_late_greeting(const struct settings *settings)
{
    static const struct piece pieces[PIECES_MAX] = {C("USER bob\r\n"), GREETING,
                                                    C("PASS hunter2\r\n")};
    static struct result result;
    struct counters counters;
    converse(settings, pieces, NULL, FEED_WHOLE, 1, &result, &counters);
    CHECK(!strcmp(result.text, "authd< " HELLO " @2\nauthd> PASS 14 BLANKED @3\n"));
}

static void check_long_lines(const struct settings *settings)
{
    enum { LONG_BYTES = 3000, KEPT_BYTES = 1016 };
    static char line[LONG_BYTES + 3], expected[LONG_BYTES];
    for (int secret = 0; secret < 2; secret++) {
        memset(line, 'x', LONG_BYTES);
        memcpy(line, secret ? "PASS " : "USER ", 5);
        memcpy(line + LONG_BYTES, "\r\n", 3);
        struct row row = {"a long line", {GREETING}, expected, false};
        row.pieces[1] = (struct piece){PIECE_DATA, TO_SERVER, line, LONG_BYTES + 2};
        if (secret)
            snprintf(expected, sizeof expected, GREETED "authd> PASS 3002 BLANKED @2\n");
        else
            snprintf(expected, sizeof expected, GREETED "authd> %.*s 3002 CUT @2\n", KEPT_BYTES,
                     line);
        check_row(settings, &row);
    }
    /* Exactly what fits. */
    memcpy(line, "USER ", 5);
    memcpy(line + KEPT_BYTES, "\r\n", 3);
    struct row row = {"the longest line", {GREETING}, expected, false};
    row.pieces[1] = (struct piece){PIECE_DATA, TO_SERVER, line, KEPT_BYTES + 2};
    snprintf(expected, sizeof expected, GREETED "authd> %.*s @2\n", KEPT_BYTES, line);
    check_row(settings, &row);
}

/* Out of memory at every point: fewer messages, never a secret. */
static void check_short_memory(const struct settings *whole)
{
    struct settings settings = *whole;
    static struct result result;
    struct counters counters;
    for (settings.memory_bytes = 2500; settings.memory_bytes < 12000; settings.memory_bytes += 37) {
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
            converse(&settings, rows[i].pieces, NULL, FEED_BYTES, 1, &result, &counters);
            CHECK(!strstr(result.text, "hunter2"));
        }
    }
}

int main(void)
{
    struct interest *interest = interest_open();
    const struct needles none = {NULL, 0};
    interest_add_path(interest, "*", "*", WANT_REQUEST_BODY | WANT_RESPONSE_BODY, none, none);
    struct settings settings = {interest, test_limits(), 1 << 20, 4711};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        CHECK(!strstr(rows[i].expected, "hunter2"));
        check_row(&settings, &rows[i]);
    }
    check_late_greeting(&settings);
    check_long_lines(&settings);
    check_short_memory(&settings);
    interest_close(interest);
    return checks_report("authd");
}
