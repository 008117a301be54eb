/* links: protocol*.c framing.c libvirt.c authd.c nfc*.c vix*.c tls*.c http*.c choice.c pending.c interest.c interest_match.c needles.c objects.c operations.c soap.c body.c block.c tokens.c kept.c */
/* What is handed up, and with which bodies, for what was asked. */
#include <zlib.h>

#include "conversation.h"
#include "interest_match.h"
#include "needles.h"

static const struct needles any = {NULL, 0};

static struct slice slice(const char *text)
{
    return (struct slice){(const uint8_t *)text, (uint32_t)strlen(text)};
}

static void check_names(void)
{
    static const struct {
        const char *method, *pattern, *tried_method, *tried;
        bool matches;
    } rows[] = {
        {NULL, "Login", "POST", "Login", true},
        {NULL, "Login", "POST", "LoginByToken", false},
        {NULL, "Login*", "POST", "LoginByToken", true},
        {NULL, "Login*", "POST", "Login", true},
        {NULL, "*_Task", "POST", "PowerOnVM_Task", true},
        {NULL, "*_Task", "POST", "_Task", true},
        {NULL, "*_Task", "POST", "Task", false},
        {NULL, "*_Task", "POST", "A_Task_Tas", false},
        {NULL, "*InGuest*", "POST", "StartProgramInGuest", true},
        {NULL, "*a*b*c*", "POST", "aabbcc", true},
        {NULL, "*a*b*c*", "POST", "aaccbb", false},
        {NULL, "RetrievePropertiesEx", "POST", "RetrieveProperties", false},
        {NULL, "*", "POST", "Anything", true},
        {NULL, "*", "POST", "", false},
        {"POST", "/api/sessions", "POST", "/api/sessions", true},
        {"POST", "/api/sessions", "GET", "/api/sessions", false},
        {"POST", "/api/sessions", "POST", "/api/sessions/", false},
        {"*", "/api/vApp/*/power/action/*", "POST", "/api/vApp/vapp-1/power/action/powerOn", true},
        {"*", "/api/vApp/*/power/action/*", "POST", "/api/vApp/vapp-1/x/y/power/action/powerOn",
         true},
        {"*", "/api/vApp/*/power/action/*", "POST", "/api/vApp/vapp-1/action/powerOn", false},
        {"DELETE", "/api/*", "DELETE", "/api/", true},
        {"*", "/", "GET", "/", true},
        {"*", "/x", "GET", "", false},
        {"*", "*", "OPTIONS", "*", true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct interest *interest = interest_open();
        CHECK(rows[i].method
                  ? interest_add_path(interest, rows[i].method, rows[i].pattern, 0, any, any)
                  : interest_add_operation(interest, rows[i].pattern, 0, any, any));
        struct request_name name = {slice(rows[i].tried_method), {0}, {0}};
        *(rows[i].method ? &name.path : &name.operation) = slice(rows[i].tried);
        struct matching_rules matching;
        interest_match(interest, &name, &matching);
        bool matches = matching.count == 1;
        CHECK(matches == rows[i].matches);
        if (matches != rows[i].matches)
            fprintf(stderr, "%s against %s\n", rows[i].pattern, rows[i].tried);
        interest_close(interest);
    }
}

static void check_lists(void)
{
    struct interest *interest = interest_open();
    struct request_name name = {slice("POST"), slice("/sdk"), slice("Login")};
    CHECK(interest_add_operation(interest, "Logout", 0, any, any));
    CHECK(interest_add_path(interest, "POST", "/sdk", 0, any, any));
    CHECK(interest_add_operation(interest, "Log*", 0, any, any));
    struct matching_rules matching;
    interest_match(interest, &name, &matching);
    CHECK(matching.count == 2 && matching.rule[0] == 1 && matching.rule[1] == 2);
    CHECK(interest_add_token_header(interest, "X-Token") &&
          interest_add_token_cookie(interest, "sid"));
    CHECK(interest_is_token_header(interest, (const uint8_t *)"x-tOKEN", 7));
    CHECK(!interest_is_token_header(interest, (const uint8_t *)"x-tOKE", 6));
    CHECK(!interest_is_token_header(interest, (const uint8_t *)"sid", 3));
    CHECK(interest_is_token_cookie(interest, (const uint8_t *)"SID", 3));
    CHECK(interest_add_port(interest, PROTO_UDP, 902));
    CHECK(interest_wants_port(interest, PROTO_UDP, 902));
    CHECK(!interest_wants_port(interest, PROTO_TCP, 902) &&
          !interest_wants_port(interest, PROTO_UDP, 903));
    interest_close(interest);
    interest_close(NULL);
}

/* Of more rules for one name than are tried, the first ones count, whatever kind they are. */
static void check_many_rules(void)
{
    enum { ADDED = 60 };
    struct interest *interest = interest_open();
    struct request_name name = {slice("POST"), slice("/sdk/x"), slice("Login")};
    for (int i = ADDED; i > 0; i--) {
        CHECK(i % 4 == 0   ? interest_add_operation(interest, "Login", 0, any, any)
              : i % 4 == 1 ? interest_add_operation(interest, "L*", 0, any, any)
              : i % 4 == 2 ? interest_add_path(interest, "*", "/sdk/*", 0, any, any)
                           : interest_add_path(interest, "POST", "*", 0, any, any));
    }
    struct matching_rules matching;
    interest_match(interest, &name, &matching);
    CHECK(matching.count == MATCHING_RULES_MAX);
    for (int i = 0; i < matching.count; i++)
        CHECK(matching.rule[i] == i);
    interest_close(interest);
}

/* Against the plain way to do it, on texts of few letters, where needles overlap and nearly match.
 */
static void check_needles(void)
{
    static const char *const sets[][4] = {
        {"ab", "ba", "", NULL},
        {"a", "bb", NULL},
        {"abc", NULL},
        {"abab", "bcab", "cc", NULL},
        {"aaaa", NULL},
        {"abcabc", "cab", NULL},
        {"ccccccccc", "ab", NULL},
        {"abcabcabcabcabcabcabc", "ccabcab", NULL},
    };
    uint64_t seed = 7;
    for (int round = 0; round < 4000; round++) {
        const char *const *texts = sets[round % 8];
        size_t count = 0;
        while (texts[count])
            count++;
        uint32_t bytes = (uint32_t)(random_next(&seed) % 60);
        uint8_t body[60];
        bool expected = false;
        for (uint32_t i = 0; i < bytes; i++)
            body[i] = (uint8_t)('a' + random_next(&seed) % 3);
        for (size_t i = 0; i < count; i++)
            expected |= memmem(body, bytes, texts[i], strlen(texts[i])) != NULL;
        struct needle_set *set = needle_set_open(texts, count);
        const uint8_t *edge = at_the_edge((const char *)body, bytes);
        CHECK(needle_set_in(set, (struct slice){edge, bytes}) == expected);
        needle_set_close(set);
    }
}

/* A needle longer than any shift the search knows. */
static void check_long_needle(void)
{
    char needle[601], body[2000];
    const char *text = needle;
    for (int i = 0; i < 600; i++)
        needle[i] = (char)('a' + i * i % 23);
    needle[600] = 0;
    memset(body, 'a', sizeof body);
    struct needle_set *set = needle_set_open(&text, 1);
    CHECK(!needle_set_in(set, (struct slice){(uint8_t *)body, sizeof body}));
    for (uint32_t at = 0; at <= sizeof body - 600; at += 100) {
        memset(body, 'a', sizeof body);
        memcpy(body + at, needle, 600);
        CHECK(needle_set_in(set, (struct slice){(uint8_t *)body, sizeof body}));
        CHECK(!needle_set_in(set, (struct slice){(uint8_t *)body, at + 599}));
    }
    needle_set_close(set);
}

#define ENVELOPE(header, body)                                                                     \
    "<e:Envelope><e:Header>" header "</e:Header><e:Body>" body "</e:Body></e:Envelope>"
#define SOAP_HEAD "POST /sdk HTTP/1.1\r\nSOAPAction: x\r\nTransfer-Encoding: chunked\r\n\r\n"
/* Every body below is of one size, so that the chunk size can be a literal. */
#define LOGIN(op, password)                                                                        \
    ENVELOPE("<operationID>" op "</operationID>",                                                  \
             "<Login><_this type=\"SessionManager\">s-1</_this><p>" password "</p></Login>")
#define SOAP_LOGIN(op, password) SOAP_HEAD "9f\r\n" LOGIN(op, password) "\r\n0\r\n\r\n"
#define OK(body) "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n" body
#define FAIL(body) "HTTP/1.1 500 No\r\nContent-Length: 2\r\n\r\n" body

struct asked {
    const char *operation; /* or */
    const char *method, *path;
    unsigned want;
    const char *request_has, *response_has;
};

struct case_of {
    struct asked rules[3];
    struct row row;
};

enum { BOTH = WANT_REQUEST_BODY | WANT_RESPONSE_BODY };

static const struct case_of cases[] = {
    {{{"Login", NULL, NULL, BOTH, NULL, NULL}},
     {"both bodies",
      {C(SOAP_LOGIN("op-1", "one")), S(OK("ok"))},
      "POST /sdk 200 @1,2,2 Login,SessionManager,s-1,op-1 <" LOGIN("op-1", "one") "> <ok>\n",
      false}},
    {{{"Login", NULL, NULL, 0, NULL, NULL}},
     {"heads only",
      {C(SOAP_LOGIN("op-1", "one")), S(OK("ok"))},
      "POST /sdk 200 @1,2,2 Login,SessionManager,s-1,op-1 <> <>\n",
      false}},
    {{{"Logout", NULL, NULL, BOTH, NULL, NULL}},
     {"nobody asks", {C(SOAP_LOGIN("op-1", "one")), S(OK("ok"))}, "", false}},
    {{{"Login", NULL, NULL, 0, "two", NULL}, {"Log*", NULL, NULL, WANT_RESPONSE_BODY, "one", "ok"}},
     {"needles decide between rules",
      {C(SOAP_LOGIN("op-1", "one")), S(OK("ok")), C(SOAP_LOGIN("op-1", "two")), S(OK("ok")),
       C(SOAP_LOGIN("op-1", "six")), S(OK("ok")), C(SOAP_LOGIN("op-1", "one")), S(OK("no"))},
      "POST /sdk 200 @1,2,2 Login,SessionManager,s-1,op-1 <> <ok>\n"
      "POST /sdk 200 @3,4,4 Login,SessionManager,s-1,op-1 <> <>\n",
      false}},
    {{{"Login", NULL, NULL, BOTH | WANT_FAILED_ONLY, NULL, NULL}},
     {"failures only, no response being one",
      {C(SOAP_LOGIN("op-1", "one")), S(OK("ok")), C(SOAP_LOGIN("op-2", "two")), S(FAIL("no")),
       C(SOAP_LOGIN("op-3", "six")), CEND},
      "POST /sdk 500 @3,4,4 Login,SessionManager,s-1,op-2 <"
      LOGIN("op-2", "two") "> <no>\n"
      "POST /sdk 0 @5,0,99 NO_RESPONSE Login,SessionManager,s-1,op-3 <"
      LOGIN("op-3", "six") "> <>\n",
      true}},
    {{{"Login", NULL, NULL, WANT_RESPONSE_BODY | WANT_CHANGED_ONLY, NULL, NULL}},
     {"changes only: another operationID is no change, another body or status is",
      {C(SOAP_LOGIN("op-1", "one")), S(OK("ok")), C(SOAP_LOGIN("op-2", "one")), S(OK("ok")),
       C(SOAP_LOGIN("op-3", "one")), S(OK("no")), C(SOAP_LOGIN("op-4", "two")), S(OK("ok")),
       C(SOAP_LOGIN("op-5", "two")), S(OK("ok")), C(SOAP_LOGIN("op-6", "two")), S(FAIL("ok"))},
      "POST /sdk 200 @1,2,2 Login,SessionManager,s-1,op-1 <> <ok>\n"
      "POST /sdk 200 @5,6,6 Login,SessionManager,s-1,op-3 <> <no>\n"
      "POST /sdk 200 @7,8,8 Login,SessionManager,s-1,op-4 <> <ok>\n"
      "POST /sdk 500 @11,12,12 Login,SessionManager,s-1,op-6 <> <ok>\n",
      false}},
    {{{NULL, "GET", "/api/*", WANT_RESPONSE_BODY, NULL, NULL},
      {NULL, "*", "/api/session", BOTH, NULL, NULL}},
     {"paths, without query and scheme",
      {C("GET /api/x?y HTTP/1.1\r\n\r\n"), S(OK("1a")), C("GET http://h/api/x HTTP/1.1\r\n\r\n"),
       S(OK("2b")), C("GET /?/api/x HTTP/1.1\r\n\r\n"), S(OK("3c")),
       C("POST /api/session HTTP/1.1\r\nContent-Length: 1\r\n\r\nx"), S(OK("4d"))},
      "GET /api/x?y 200 @1,2,2 <> <1a>\nGET http://h/api/x 200 @3,4,4 <> <2b>\n"
      "POST /api/session 200 @7,8,8 <x> <4d>\n",
      false}},
    {{{NULL, "POST", "/sdk", BOTH, "one", NULL}},
     {"a path rule sees SOAP bodies too",
      {C(SOAP_LOGIN("op-1", "one")), S(OK("ok"))},
      "POST /sdk 200 @1,2,2 Login,SessionManager,s-1,op-1 <" LOGIN("op-1", "one") "> <ok>\n",
      false}},
    {{{"Login", NULL, NULL, 0, NULL, NULL}},
     {"SOAP without any header that says so; a body that only begins like it",
      {C("POST /sdk HTTP/1.1\r\nContent-Length: 42\r\n\r\n"
         "<Envelope><Body><Login/></Body></Envelope>"),
       S(OK("ok")), C("POST /sdk HTTP/1.1\r\nContent-Length: 4\r\n\r\n<a/>"), S(OK("ok")),
       C("PUT /sdk HTTP/1.1\r\nContent-Length: 42\r\n\r\n"
         "<Envelope><Body><Login/></Body></Envelope>"),
       S(OK("ok"))},
      "POST /sdk 200 @1,2,2 Login,,, <> <>\n",
      false}},
    {{{"Login", NULL, NULL, WANT_REQUEST_BODY, NULL, NULL}},
     {"the body ends before the operation's argument does",
      {C("POST /sdk HTTP/1.1\r\nContent-Length: 35\r\n\r\n<Envelope><Body><Login><_this>s-1</"),
       S(OK("ok"))},
      "POST /sdk 200 @1,2,2 Login,,, <<Envelope><Body><Login><_this>s-1</> <>\n",
      false}},
    {{{"Login", NULL, NULL, WANT_REQUEST_BODY, NULL, NULL}},
     {"a gap behind the operation's name, and one before it",
      {C("POST /sdk HTTP/1.1\r\nContent-Length: 50\r\n\r\n<Envelope><Body><Login><_thi"), CGAP(22),
       S(OK("ok")), C("POST /sdk HTTP/1.1\r\nContent-Length: 42\r\n\r\n<Envelope>"), CGAP(6),
       C("<Login/></Body></Envelope>"), S(OK("ok"))},
      "POST /sdk 200 @1,3,3 REQUEST_GAP Login,,, <<Envelope><Body><Login><_thi> <>\n",
      false}},
    {{{"Login", NULL, NULL, WANT_RESPONSE_BODY, NULL, NULL}},
     {"an answer that comes before the operation is known",
      {C(SOAP_HEAD "10\r\n<Envelope><Body>\r\n"), S(FAIL("no")), C("8\r\n<Login/>\r\n0\r\n\r\n")},
      "POST /sdk 500 @1,2,2 Login,,, <> <no>\n",
      false}},
};

static struct interest *interest_of(const struct asked *rules)
{
    struct interest *interest = interest_open();
    for (int i = 0; i < 3 && (rules[i].operation || rules[i].path); i++) {
        const struct asked *rule = &rules[i];
        struct needles request = {&rule->request_has, rule->request_has != NULL};
        struct needles response = {&rule->response_has, rule->response_has != NULL};
        CHECK(rule->operation
                  ? interest_add_operation(interest, rule->operation, rule->want, request, response)
                  : interest_add_path(interest, rule->method, rule->path, rule->want, request,
                                      response));
    }
    return interest;
}

static void check_cases(void)
{
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct interest *interest = interest_of(cases[i].rules);
        struct settings settings = {interest, test_limits(), 1 << 20, 80};
        check_row(&settings, &cases[i].row);
        interest_close(interest);
    }
}

static const struct row tokens[] = {
    {"first seen, then known; a new value is new again",
     {C("GET /1 HTTP/1.1\r\nX-Token: a\r\n\r\n"), S(OK("ok")),
      C("GET /2 HTTP/1.1\r\nX-Token:  a \r\n\r\n"), S(OK("ok")),
      C("GET /3 HTTP/1.1\r\nx-token: b\r\n\r\n"), S(OK("ok"))},
     "GET /1 200 @1,2,2 NEW_TOKEN <> <>\nGET /3 200 @5,6,6 NEW_TOKEN <> <>\n",
     false},
    {"cookies: set, sent back with all its text, quoted or not, among others",
     {C("GET /1 HTTP/1.1\r\nCookie: \r\n\r\n"),
      S("HTTP/1.1 200 OK\r\nSet-Cookie: sid=\"v-1\"; Path=/; HttpOnly\r\nContent-Length: 0\r\n"
        "\r\n"),
      C("GET /2 HTTP/1.1\r\nCookie: sid=\"v-1\"; Path=/; HttpOnly\r\n\r\n"), S(OK("ok")),
      C("GET /3 HTTP/1.1\r\nCookie: x=y; SID=v-1\r\n\r\n"), S(OK("ok")),
      C("GET /4 HTTP/1.1\r\nCookie: x=y;z; sid=v-2 ;q=\r\n\r\n"), S(OK("ok")),
      C("GET /5 HTTP/1.1\r\nCookie: other=v-3\r\n\r\n"), S(OK("ok"))},
     "GET /1 200 @1,2,2 NEW_TOKEN <> <>\nGET /4 200 @7,8,8 NEW_TOKEN <> <>\n",
     false},
    {"no cookie but what a cookie's attribute is called",
     {C("GET /1 HTTP/1.1\r\n\r\n"),
      S("HTTP/1.1 200 OK\r\nSet-Cookie: a=b; sid=c\r\nX-Token:\r\nContent-Length: 0\r\n\r\n")},
     "",
     false},
    {"deleted",
     {C("GET /1 HTTP/1.1\r\n\r\n"),
      S("HTTP/1.1 200 OK\r\nSet-Cookie: sid=\"\"; Max-Age=0\r\nContent-Length: 0\r\n\r\n")},
     "",
     false},
    {"the header in a response",
     {C("GET /1 HTTP/1.1\r\n\r\n"),
      S("HTTP/1.1 201 OK\r\nX-TOKEN: t\r\nContent-Length: 0\r\n\r\n")},
     "GET /1 201 @1,2,2 NEW_TOKEN <> <>\n",
     false},
    {"the oldest of more than are remembered is new again",
     {C("GET /1 HTTP/1.1\r\nX-Token: 1\r\nX-Token: 2\r\nX-Token: 3\r\nX-Token: 4\r\n\r\n"),
      S(OK("ok")), C("GET /2 HTTP/1.1\r\nX-Token: 5\r\n\r\n"), S(OK("ok")),
      C("GET /3 HTTP/1.1\r\nX-Token: 2\r\n\r\n"), S(OK("ok")),
      C("GET /4 HTTP/1.1\r\nX-Token: 1\r\n\r\n"), S(OK("ok"))},
     "GET /1 200 @1,2,2 NEW_TOKEN <> <>\nGET /2 200 @3,4,4 NEW_TOKEN <> <>\n"
     "GET /4 200 @7,8,8 NEW_TOKEN <> <>\n",
     false},
    {"told also when there is no response, and not learnt from a response to nobody",
     {S("HTTP/1.1 200 OK\r\nX-Token: a\r\nContent-Length: 0\r\n\r\n"),
      C("GET /1 HTTP/1.1\r\nX-Token: a\r\n\r\n"), CEND},
     "GET /1 0 @2,0,99 NEW_TOKEN NO_RESPONSE <> <>\nunpaired 1\n",
     false},
    {"a rule that matches gives its bodies as well",
     {C("GET /api HTTP/1.1\r\nX-Token: a\r\n\r\n"), S(OK("ok"))},
     "GET /api 200 @1,2,2 NEW_TOKEN <> <ok>\n",
     false},
};

static void check_tokens(void)
{
    struct interest *interest = interest_open();
    CHECK(interest_add_token_header(interest, "x-token") &&
          interest_add_token_cookie(interest, "sid"));
    CHECK(interest_add_path(interest, "GET", "/api", WANT_RESPONSE_BODY, any, any));
    struct settings settings = {interest, test_limits(), 1 << 20, 80};
    for (size_t i = 0; i < sizeof tokens / sizeof *tokens; i++)
        check_row(&settings, &tokens[i]);
    interest_close(interest);
}

static uint32_t gzip(char *to, const char *from)
{
    z_stream stream = {0};
    deflateInit2(&stream, 6, Z_DEFLATED, MAX_WBITS + 16, 8, Z_DEFAULT_STRATEGY);
    stream.next_in = (z_const Bytef *)from;
    stream.avail_in = (uInt)strlen(from);
    stream.next_out = (Bytef *)to;
    stream.avail_out = 1000;
    CHECK(deflate(&stream, Z_FINISH) == Z_STREAM_END);
    uint32_t bytes = (uint32_t)stream.total_out;
    deflateEnd(&stream);
    return bytes;
}

static struct piece packed_piece(enum direction direction, char *room, const char *start,
                                 const char *body)
{
    char content[1000];
    uint32_t bytes = gzip(content, body);
    int head = sprintf(
        room,
        "%s\r\nContent-Encoding: gzip\r\nContent-Type: text/xml\r\nContent-Length: %u\r\n\r\n",
        start, bytes);
    memcpy(room + head, content, bytes);
    return (struct piece){PIECE_DATA, direction, room, (uint32_t)head + bytes};
}

/* Both bodies compressed: the operation is found, needles too, and what is handed up is plain. */
static void check_compressed(void)
{
    static char request[2000], response[2000];
    struct interest *interest = interest_of(
        (struct asked[3]){{"Login", NULL, NULL, BOTH, "one", "o"}});
    struct settings settings = {interest, test_limits(), 1 << 20, 80};
    struct row row = {
        "gzip both ways",
        {packed_piece(TO_SERVER, request, "POST /sdk HTTP/1.1", LOGIN("op-1", "one")),
         packed_piece(TO_CLIENT, response, "HTTP/1.1 200 OK", "ok")},
        "POST /sdk 200 @1,2,2 Login,SessionManager,s-1,op-1 <" LOGIN("op-1", "one") "> <ok>\n",
        false};
    check_row(&settings, &row);
    interest_close(interest);
}

/* Names too long for the room that a request brings along. */
static void check_long_names(void)
{
    static char request[4000], expected[4000], body[3000], name[1001];
    memset(name, 'n', 1000);
    int length = snprintf(body, sizeof body, "<Envelope><Body><Login><_this type=\"%s\">%s</_this>",
                          name, name);
    int bytes = snprintf(request, sizeof request,
                         "POST /sdk HTTP/1.1\r\nContent-Length: %d\r\n\r\n%s", length, body);
    snprintf(expected, sizeof expected, "POST /sdk 200 @1,2,2 Login,%s,%s, <> <>\n", name, name);
    struct interest *interest = interest_of(
        (struct asked[3]){{"Login", NULL, NULL, 0, NULL, NULL}});
    struct settings settings = {interest, test_limits(), 1 << 20, 80};
    struct row row = {"long names",
                      {{PIECE_DATA, TO_SERVER, request, (uint32_t)bytes}, S(OK("ok"))},
                      expected,
                      false};
    check_row(&settings, &row);
    interest_close(interest);
}

int main(void)
{
    check_names();
    check_lists();
    check_many_rules();
    check_needles();
    check_long_needle();
    check_cases();
    check_tokens();
    check_compressed();
    check_long_names();
    return checks_report("interest");
}
