/* links: soap.c */
/* Finding the operation in SOAP requests: whole, and grown byte by byte or at random splits. */
#include <stdbool.h>
#include <stdlib.h>

#include "check.h"
#include "soap.h"

#define XML "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
#define ENVELOPE                                                                                   \
    "<soapenv:Envelope xmlns:soapenv=\"http://schemas.xmlsoap.org/soap/envelope/\" xmlns:xsd='x>y'>"
#define END "</soapenv:Body></soapenv:Envelope>"
#define THIS "<_this versionId=\"6.7\" type=\"SessionManager\">SessionManager</_this>"

struct row {
    const char *body;
    enum soap_verdict verdict;
    const char *operation, *this_type, *this_id, *operation_id;
};

static const struct row rows[] = {
    /* pyvmomi */
    {XML ENVELOPE
     "\n<soapenv:Header><operationID versionId=\"6.7\">lab-1</operationID></soapenv:Header>\n"
     "<soapenv:Body><Login xmlns=\"urn:vim25\">" THIS "<userName>u</userName></Login>" END,
     SOAP_FOUND, "Login", "SessionManager", "SessionManager", "lab-1"},
    /* govc: no prefix, no header */
    {XML
     "<Envelope xmlns=\"s\"><Body><RetrieveServiceContent xmlns=\"urn:vim25\">"
     "<_this type=\"ServiceInstance\">ServiceInstance</_this></RetrieveServiceContent></Body>"
     "</Envelope>",
     SOAP_FOUND, "RetrieveServiceContent", "ServiceInstance", "ServiceInstance", ""},
    /* Java: prefixes everywhere, xsi:type beside type */
    {"<S:Envelope xmlns:S='s'><S:Header><v:operationID xmlns:v='v'> op-7 </v:operationID>"
     "</S:Header><S:Body><v:PowerOnVM_Task>"
     "<v:_this xsi:type='v:ManagedObjectReference' type = 'VirtualMachine'\n>\n"
     " vm-12 </v:_this></v:PowerOnVM_Task></S:Body>",
     SOAP_FOUND, "PowerOnVM_Task", "VirtualMachine", "vm-12", "op-7"},
    {ENVELOPE "<soapenv:Body><Op><_this xsi:type=\"x\">vm-1</_this></Op>" END, SOAP_FOUND, "Op", "",
     "vm-1", ""},
    /* decided as soon as enough is there */
    {ENVELOPE "<soapenv:Body><Login>" THIS, SOAP_FOUND, "Login", "SessionManager", "SessionManager",
     ""},
    {ENVELOPE "<soapenv:Body><Login><userName>", SOAP_FOUND, "Login", "", "", ""},
    {ENVELOPE "<soapenv:Body><Logout/>", SOAP_FOUND, "Logout", "", "", ""},
    {ENVELOPE "<soapenv:Body><Logout />", SOAP_FOUND, "Logout", "", "", ""},
    {ENVELOPE "<soapenv:Body><Logout></Logout>", SOAP_FOUND, "Logout", "", "", ""},
    {ENVELOPE "<soapenv:Body><Op><_this type=\"T\"/>", SOAP_FOUND, "Op", "T", "", ""},
    {ENVELOPE "<soapenv:Body><Op><_this type=\"T/\"/>", SOAP_FOUND, "Op", "T/", "", ""},
    {ENVELOPE "<soapenv:Body><Login>", SOAP_MORE, "Login", "", "", ""},
    {ENVELOPE "<soapenv:Body><Op><_this type=\"T\">vm-", SOAP_MORE, "Op", "T", "", ""},
    {ENVELOPE "<soapenv:Header><operationID>x</operationID>", SOAP_MORE, "", "", "", "x"},
    /* white space, byte order mark, instructions */
    {"\xef\xbb\xbf \r\n\t" XML "<?pi <Body> ?>" ENVELOPE
     " <soapenv:Body > <Op > <_this\ttype=\"T\" >a b</_this>",
     SOAP_FOUND, "Op", "T", "a b", ""},
    /* text that looks like what is sought, where it means nothing */
    {"<!-- <Envelope><Body><Fake/> -- > -->" ENVELOPE
     "<!--<soapenv:Body><Fake/>--><soapenv:Body><!-- <Fake> --><Op><!---->"
     "<_this type=\"T\">vm-1</_this>",
     SOAP_FOUND, "Op", "T", "vm-1", ""},
    {ENVELOPE
     "<soapenv:Header><x><![CDATA[</x></soapenv:Header><soapenv:Body><Fake/>]]></x>"
     "</soapenv:Header><soapenv:Body><Op/>",
     SOAP_FOUND, "Op", "", "", ""},
    {ENVELOPE
     "<soapenv:Header a=\"<soapenv:Body><Fake/>\"/><soapenv:Body b='/>'><Op c=\"'/>\"><_this "
     "type=\"T\" x='>'>v</_this>",
     SOAP_FOUND, "Op", "T", "v", ""},
    {ENVELOPE "<soapenv:Body><Op><_this a=\" type='F'\" type=\"T\">v</_this>", SOAP_FOUND, "Op",
     "T", "v", ""},
    {ENVELOPE
     "<soapenv:Header><a><Body><Fake/></Body></a><operationID>1</operationID></soapenv:Header>"
     "<soapenv:Body><Op/>",
     SOAP_FOUND, "Op", "", "", "1"},
    {ENVELOPE
     "<soapenv:Header><a><operationID>fake</operationID></a></soapenv:Header><soapenv:Body><Op/>",
     SOAP_FOUND, "Op", "", "", ""},
    {ENVELOPE "<soapenv:Body><Op><a><_this type=\"T\">fake</_this></a>", SOAP_FOUND, "Op", "", "",
     ""},
    {ENVELOPE
     "<soapenv:Header><operationID>1</operationID><operationID>2</operationID></soapenv:Header>"
     "<soapenv:Body><Op/>",
     SOAP_FOUND, "Op", "", "", "1"},
    /* an id that is not one run of characters is not used; a CDATA section alone is */
    {ENVELOPE "<soapenv:Body><Op><_this type=\"T\">vm-1<!-- -->2</_this>", SOAP_FOUND, "Op", "T",
     "", ""},
    {ENVELOPE "<soapenv:Body><Op><_this type=\"T\">vm-1<b/>2</_this>", SOAP_FOUND, "Op", "T", "",
     ""},
    {ENVELOPE "<soapenv:Body><Op><_this type=\"T\"> <![CDATA[vm-1]]> </_this>", SOAP_FOUND, "Op",
     "T", "vm-1", ""},
    {ENVELOPE "<soapenv:Body><Op><_this type=\"T\"><![CDATA[vm-1]]>2</_this>", SOAP_FOUND, "Op",
     "T", "", ""},
    {ENVELOPE "<soapenv:Body><Op><_this type=\"T\">1<![CDATA[vm-1]]></_this>", SOAP_FOUND, "Op",
     "T", "", ""},
    {ENVELOPE "<soapenv:Body><Op><_this type=\"T\"><![CDATA[vm-1]]><![CDATA[2]]></_this>",
     SOAP_FOUND, "Op", "T", "", ""},
    {ENVELOPE "<soapenv:Body><Op><_this type=\"T\">a&amp;b</_this>", SOAP_FOUND, "Op", "T",
     "a&amp;b", ""},
    /* other sections, elements deeper than we look */
    {ENVELOPE
     "<Other><Op/></Other><soapenv:Header><a><b><c><d/></c></b></a></soapenv:Header><soapenv:Body>"
     "<Op/>",
     SOAP_FOUND, "Op", "", "", ""},
    /* not SOAP, or broken */
    {"{\"a\":1}", SOAP_NONE, "", "", "", ""},
    {"\xef\xbbx", SOAP_NONE, "", "", "", ""},
    {"<methodCall><methodName>session.login</methodName>", SOAP_NONE, "", "", "", ""},
    {"<!DOCTYPE x [<!ENTITY a \"b\">]>" ENVELOPE, SOAP_NONE, "", "", "", ""},
    {ENVELOPE "<soapenv:Body></soapenv:Body>", SOAP_NONE, "", "", "", ""},
    {ENVELOPE "<soapenv:Body/>", SOAP_NONE, "", "", "", ""},
    {ENVELOPE "</soapenv:Envelope>", SOAP_NONE, "", "", "", ""},
    {"</x>", SOAP_NONE, "", "", "", ""},
    {ENVELOPE "< soapenv:Body>", SOAP_NONE, "", "", "", ""},
    {"", SOAP_MORE, "", "", "", ""},
    {" \n", SOAP_MORE, "", "", "", ""},
    {"<", SOAP_MORE, "", "", "", ""},
    {"<!", SOAP_MORE, "", "", "", ""},
    {"<![CDATA", SOAP_MORE, "", "", "", ""},
};

static void check_span(const char *body, struct soap_span span, const char *expected)
{
    bool same = span.bytes == strlen(expected) && memcmp(body + span.at, expected, span.bytes) == 0;
    CHECK(same);
    if (!same)
        fprintf(stderr, "expected '%s' got '%.*s' in\n%s\n", expected, (int)span.bytes,
                body + span.at, body);
}

/* `step` bytes more in each call; 0: a random number of them. */
static void check_row(const struct row *row, uint32_t step)
{
    uint32_t bytes = (uint32_t)strlen(row->body);
    struct soap_scan scan = {0};
    enum soap_verdict verdict = SOAP_MORE;
    for (uint32_t have = 0; have < bytes && verdict == SOAP_MORE;) {
        uint32_t more = step ? step : 1 + (uint32_t)rand() % 30;
        have = more > bytes - have ? bytes : have + more;
        uint8_t *copy = malloc(have); /* of the exact size, so that a read past the end is found */
        memcpy(copy, row->body, have);
        verdict = soap_scan(&scan, copy, have);
        free(copy);
    }
    CHECK(verdict == row->verdict);
    if (verdict != row->verdict)
        fprintf(stderr, "verdict %d for\n%s\n", (int)verdict, row->body);
    if (row->verdict == SOAP_NONE)
        return;
    check_span(row->body, scan.operation, row->operation);
    check_span(row->body, scan.this_type, row->this_type);
    check_span(row->body, scan.this_id, row->this_id);
    check_span(row->body, scan.operation_id, row->operation_id);
}

static char *text_of(const char *begin, char fill, size_t times, const char *end)
{
    char *text = malloc(strlen(begin) + times + strlen(end) + 1);
    memcpy(text, begin, strlen(begin));
    memset(text + strlen(begin), fill, times);
    strcpy(text + strlen(begin) + times, end);
    return text;
}

/* A security header of 200 KiB stands before the Body; one past the bound hides it. */
static void check_bound(void)
{
    char *body = text_of(ENVELOPE "<soapenv:Header><Security><Assertion x=\"", 'A', 200 * 1024,
                         "\"/></Security></soapenv:Header><soapenv:Body><Op/>");
    struct row row = {body, SOAP_FOUND, "Op", "", "", ""};
    check_row(&row, UINT32_MAX);
    check_row(&row, 1400);
    free(body);
    body = text_of(ENVELOPE "<soapenv:Header><x>", 'A', SOAP_SCAN_BYTES_MAX,
                   "</x></soapenv:Header><soapenv:Body><Op/>");
    row = (struct row){body, SOAP_NONE, "", "", "", ""};
    check_row(&row, UINT32_MAX);
    check_row(&row, 1400);
    free(body);
}

/* Byte by byte through one long token of each kind: linear, or this would take minutes. */
static void check_linear(void)
{
    static const char *const begins[] = {
        ENVELOPE, ENVELOPE "<!--", ENVELOPE "<a b=\"", ENVELOPE "<![CDATA[", "<?x ", ENVELOPE "<"};
    for (size_t i = 0; i < sizeof begins / sizeof *begins; i++) {
        char *body = text_of(begins[i], 'x', SOAP_SCAN_BYTES_MAX, "");
        struct soap_scan scan = {0};
        enum soap_verdict verdict = SOAP_MORE;
        for (uint32_t have = 1; have <= SOAP_SCAN_BYTES_MAX && verdict == SOAP_MORE; have++)
            verdict = soap_scan(&scan, (const uint8_t *)body, have);
        CHECK(verdict == SOAP_NONE);
        free(body);
    }
}

static void check_long_names(void)
{
    char *body = text_of(ENVELOPE "<soapenv:Body><Op><_this type=\"T\">", 'x', SOAP_TEXT_BYTES_MAX,
                         "</_this>");
    struct soap_scan scan = {0};
    CHECK(soap_scan(&scan, (const uint8_t *)body, (uint32_t)strlen(body)) == SOAP_FOUND);
    CHECK(scan.this_id.bytes == SOAP_TEXT_BYTES_MAX);
    free(body);
    body = text_of(ENVELOPE "<soapenv:Body><Op><_this type=\"T\">", 'x', SOAP_TEXT_BYTES_MAX + 1,
                   "</_this>");
    scan = (struct soap_scan){0};
    CHECK(soap_scan(&scan, (const uint8_t *)body, (uint32_t)strlen(body)) == SOAP_FOUND);
    CHECK(scan.this_id.bytes == 0);
    free(body);
}

int main(void)
{
    srand(1);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        check_row(&rows[i], UINT32_MAX);
        check_row(&rows[i], 1);
        for (int times = 0; times < 20; times++)
            check_row(&rows[i], 0);
    }
    check_bound();
    check_linear();
    check_long_names();
    return checks_report("soap");
}
