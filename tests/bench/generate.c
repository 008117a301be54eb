/* Writes the capture of the benchmark: clear HTTP of management clients at a vCenter, the same
 * bytes for the same seed.
 *
 *   generate FILE BYTES SEED
 *
 * Sixteen transactions at a time are in flight on 200 keep-alive connections. Of a hundred
 * transactions 92 are property reads (RetrievePropertiesEx, one in eight of them chunked) with
 * responses of 2 to 16 KB, seven are polls (WaitForUpdatesEx), one is a power operation. A
 * connection starts with a login and is closed after 400. Segments carry 1448 bytes and TCP time
 * stamps, every second one is acknowledged. The file ends with whole transactions, a little past
 * BYTES. Prints one line of JSON: packets, transactions, actions, logins. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "frame.h"

enum {
    CONNECTIONS = 200,
    IN_FLIGHT = 16,
    TRANSACTIONS_PER_CONNECTION = 400,
    REQUEST_MAX = 4096,
    RESPONSE_MAX = 24576,
    CHUNK_BYTES = 4096,
    MACHINES = 2000,
};

enum side { CLIENT, SERVER };

struct connection {
    uint32_t address;
    uint16_t port;
    uint32_t sequence[2]; /* next byte of each side */
    uint32_t number, transactions;
    char token[41];
    char request[REQUEST_MAX], response[RESPONSE_MAX];
    uint32_t request_bytes, response_bytes, sent[2], unacknowledged;
    bool open, in_flight;
};

struct text {
    char *at;
    uint32_t bytes, room;
};

static uint64_t random_state;
static uint64_t clock_us = 1767225600ull * 1000000;
static uint64_t written_bytes, packets, transactions, actions, logins;
static FILE *out;
static struct connection connections[CONNECTIONS];

static uint32_t random_below(uint32_t limit)
{
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return (uint32_t)((random_state * 2685821657736338717ull) >> 32) % limit;
}

static void write_all(const void *data, size_t bytes)
{
    if (fwrite(data, 1, bytes, out) != bytes) {
        perror("generate");
        exit(1);
    }
    written_bytes += bytes;
}

static void packet(struct connection *connection, enum side from, uint8_t flags,
                   const char *payload, uint32_t bytes)
{
    static const uint8_t macs[2][6] = {{2, 0, 0, 0, 0, 1}, {2, 0, 0, 0, 0, 2}};
    const uint32_t server = 0x0a4d030a;
    uint8_t frame[HEADERS_BYTES + SEGMENT_BYTES] = {0};
    uint8_t *ip = frame + 14, *tcp = frame + 34;
    memcpy(frame, macs[!from], 6);
    memcpy(frame + 6, macs[from], 6);
    put16(frame + 12, 0x0800);
    put16(ip, 0x4500);
    put16(ip + 4, (uint32_t)packets & 0xffff);
    put16(ip + 6, 0x4000);
    put16(ip + 8, 64 << 8 | 6);
    put32(ip + 12, from == CLIENT ? connection->address : server);
    put32(ip + 16, from == CLIENT ? server : connection->address);
    put16(tcp, from == CLIENT ? connection->port : 80);
    put16(tcp + 2, from == CLIENT ? 80 : connection->port);
    put32(tcp + 4, connection->sequence[from]);
    put32(tcp + 8, flags == SYN ? 0 : connection->sequence[!from]);
    put16(tcp + 12, 0x8000u | flags);
    put16(tcp + 14, 501);
    put32(tcp + 20, 0x0101080a);
    put32(tcp + 24, (uint32_t)(clock_us / 1000));
    put32(tcp + 28, (uint32_t)(clock_us / 1000));
    memcpy(tcp + 32, payload, bytes);
    finish_frame(frame, bytes);

    uint32_t length = HEADERS_BYTES + bytes;
    uint32_t seconds = (uint32_t)(clock_us / 1000000);
    uint32_t record[4] = {seconds, (uint32_t)(clock_us % 1000000), length, length};
    write_all(record, sizeof record);
    write_all(frame, length);
    connection->sequence[from] += bytes + ((flags & (SYN | FIN)) != 0);
    clock_us += 3 + random_below(12);
    packets++;
}

__attribute__((format(printf, 2, 3))) static void add(struct text *text, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int bytes = vsnprintf(text->at + text->bytes, text->room - text->bytes, format, arguments);
    va_end(arguments);
    if (bytes < 0 || (uint32_t)bytes >= text->room - text->bytes) {
        fprintf(stderr, "generate: a message is longer than its buffer\n");
        exit(1);
    }
    text->bytes += (uint32_t)bytes;
}

static const char envelope[] = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<soapenv:Envelope "
                               "xmlns:soapenc=\"http://schemas.xmlsoap.org/soap/encoding/\" "
                               "xmlns:soapenv=\"http://schemas.xmlsoap.org/soap/envelope/\" "
                               "xmlns:xsd=\"http://www.w3.org/2001/XMLSchema\" "
                               "xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\">\n";

static void set_request(struct connection *connection, const char *body)
{
    struct text head = {connection->request, 0, REQUEST_MAX};
    size_t bytes = strlen(envelope) + strlen(body) + strlen("</soapenv:Envelope>");
    add(&head,
        "POST /sdk HTTP/1.1\r\nHost: vc.example.test\r\nAccept-Encoding: identity\r\n"
        "User-Agent: inventory/8.0 (Linux; x86_64)\r\nContent-Type: text/xml; charset=UTF-8\r\n"
        "SOAPAction: \"urn:vim25/8.0.3.0\"\r\nContent-Length: %zu\r\n",
        bytes);
    if (connection->transactions)
        add(&head, "Cookie: vmware_soap_session=\"%s\"; Path=/; HttpOnly; Secure;\r\n",
            connection->token);
    add(&head, "\r\n%s%s</soapenv:Envelope>", envelope, body);
    connection->request_bytes = head.bytes;
}

static void set_response(struct connection *connection, const char *body, bool chunked)
{
    struct text head = {connection->response, 0, RESPONSE_MAX};
    uint32_t bytes = (uint32_t)strlen(body);
    add(&head,
        "HTTP/1.1 200 OK\r\nDate: Thu, 1 Jan 2026 00:00:00 GMT\r\nCache-Control: no-cache\r\n"
        "Connection: Keep-Alive\r\nContent-Type: text/xml; charset=utf-8\r\n"
        "X-Frame-Options: DENY\r\n");
    if (!connection->transactions)
        add(&head, "Set-Cookie: vmware_soap_session=\"%s\"; Path=/; HttpOnly; Secure;\r\n",
            connection->token);
    if (!chunked)
        add(&head, "Content-Length: %u\r\n\r\n%s", bytes, body);
    else
        add(&head, "Transfer-Encoding: chunked\r\n\r\n");
    for (uint32_t at = 0; chunked && at < bytes; at += CHUNK_BYTES) {
        uint32_t part = bytes - at < CHUNK_BYTES ? bytes - at : CHUNK_BYTES;
        add(&head, "%x\r\n%.*s\r\n", part, (int)part, body + at);
    }
    if (chunked)
        add(&head, "0\r\n\r\n");
    connection->response_bytes = head.bytes;
}

static void login(struct connection *connection)
{
    char request[1024], response[2048];
    for (int at = 0; at < 40; at++)
        connection->token[at] = "0123456789abcdef"[random_below(16)];
    snprintf(request, sizeof request,
             "<soapenv:Body><Login xmlns=\"urn:vim25\"><_this "
             "type=\"SessionManager\">SessionManager</_this>"
             "<userName>EXAMPLE\\reader%u</userName><password>correct horse "
             "%u</password></Login></soapenv:Body>",
             connection->number % 40, random_below(1000000));
    snprintf(response, sizeof response,
             "%s<soapenv:Body><LoginResponse xmlns=\"urn:vim25\"><returnval><key>52%s</key>"
             "<userName>EXAMPLE\\reader%u</userName><fullName>Reader %u</fullName>"
             "<loginTime>2026-01-01T00:00:00.000001Z</"
             "loginTime><lastActiveTime>2026-01-01T00:00:00.000001Z"
             "</lastActiveTime><locale>en</locale><messageLocale>en</messageLocale></returnval></"
             "LoginResponse>"
             "</soapenv:Body></soapenv:Envelope>",
             envelope, connection->token + 8, connection->number % 40, connection->number % 40);
    set_request(connection, request);
    set_response(connection, response, false);
    logins++;
}

/* What is said of a machine stays what it is, but for its power state now and then and its load. */
static void add_machine(struct text *body, uint32_t machine)
{
    uint32_t fixed = machine * 2654435761u; /* Knuth's multiplier: spreads consecutive numbers */
    add(body,
        "<objects><obj type=\"VirtualMachine\">vm-%u</obj>"
        "<propSet><name>config.hardware.memoryMB</name><val xsi:type=\"xsd:int\">%u</val></propSet>"
        "<propSet><name>guest.ipAddress</name>"
        "<val xsi:type=\"xsd:string\">10.%u.%u.%u</val></propSet>"
        "<propSet><name>name</name><val xsi:type=\"xsd:string\">app-%u.example.test</val></propSet>"
        "<propSet><name>runtime.powerState</name>"
        "<val xsi:type=\"VirtualMachinePowerState\">powered%s</val></propSet>"
        "<propSet><name>summary.quickStats.overallCpuUsage</name>"
        "<val xsi:type=\"xsd:int\">%u</val></propSet></objects>",
        machine, 1024u << (fixed >> 29), fixed >> 24, fixed >> 16 & 0xff, fixed >> 8 & 0xff,
        machine, random_below(200) ? "On" : "Off", random_below(8000));
}

static void property_read(struct connection *connection)
{
    char request[2048], response[20000];
    struct text body = {response, 0, sizeof response};
    uint32_t wanted = 2000 + random_below(14000), machine = random_below(MACHINES);
    snprintf(request, sizeof request,
             "<soapenv:Body><RetrievePropertiesEx xmlns=\"urn:vim25\">"
             "<_this type=\"PropertyCollector\">propertyCollector</_this><specSet>"
             "<propSet><type>VirtualMachine</type><all>false</all>"
             "<pathSet>name</pathSet><pathSet>runtime.powerState</pathSet>"
             "<pathSet>config.hardware.memoryMB</pathSet><pathSet>guest.ipAddress</pathSet>"
             "<pathSet>summary.quickStats.overallCpuUsage</pathSet></propSet>"
             "<objectSet><obj type=\"ContainerView\">session[52%s]52%u</obj><skip>true</skip>"
             "</objectSet></specSet><options><maxObjects>%u</maxObjects></options>"
             "</RetrievePropertiesEx></soapenv:Body>",
             connection->token + 8, machine, wanted / 800);
    add(&body, "%s<soapenv:Body><RetrievePropertiesExResponse xmlns=\"urn:vim25\"><returnval>",
        envelope);
    for (; body.bytes < wanted; machine++)
        add_machine(&body, machine);
    add(&body, "</returnval></RetrievePropertiesExResponse></soapenv:Body></soapenv:Envelope>");
    set_request(connection, request);
    set_response(connection, response, random_below(8) == 0);
}

static void poll_updates(struct connection *connection)
{
    char request[512], response[2048];
    uint32_t version = random_below(100000);
    snprintf(
        request, sizeof request,
        "<soapenv:Body><WaitForUpdatesEx xmlns=\"urn:vim25\"><_this type=\"PropertyCollector\">"
        "session[52%s]52</_this><version>%u</version></WaitForUpdatesEx></soapenv:Body>",
        connection->token + 8, version);
    snprintf(
        response, sizeof response,
        "%s<soapenv:Body><WaitForUpdatesExResponse "
        "xmlns=\"urn:vim25\"><returnval><version>%u</version>"
        "<filterSet><filter "
        "type=\"PropertyFilter\">session[52%s]52</filter><objectSet><kind>modify</kind>"
        "<obj type=\"Task\">task-%u</obj><changeSet><name>info.state</name><op>assign</op>"
        "<val "
        "xsi:type=\"TaskInfoState\">running</val></changeSet></objectSet></filterSet></returnval>"
        "</WaitForUpdatesExResponse></soapenv:Body></soapenv:Envelope>",
        envelope, version + 1, connection->token + 8, random_below(100000));
    set_request(connection, request);
    set_response(connection, response, false);
}

static void power_operation(struct connection *connection)
{
    char request[512], response[1024];
    const char *operation = random_below(2) ? "PowerOnVM_Task" : "PowerOffVM_Task";
    snprintf(
        request, sizeof request,
        "<soapenv:Header><operationID>%08x</operationID></soapenv:Header><soapenv:Body>"
        "<%s xmlns=\"urn:vim25\"><_this type=\"VirtualMachine\">vm-%u</_this></%s></soapenv:Body>",
        random_below(UINT32_MAX), operation, random_below(MACHINES), operation);
    snprintf(response, sizeof response,
             "%s<soapenv:Body><%sResponse xmlns=\"urn:vim25\"><returnval "
             "type=\"Task\">task-%u</returnval>"
             "</%sResponse></soapenv:Body></soapenv:Envelope>",
             envelope, operation, random_below(1000000), operation);
    set_request(connection, request);
    set_response(connection, response, false);
    actions++;
}

static void open_connection(struct connection *connection, uint32_t number)
{
    memset(connection, 0, sizeof *connection);
    connection->number = number;
    connection->address = 0x0a4d0100 + 10 + number % 200;
    connection->port = (uint16_t)(32768 + number / 200 % 28000);
    connection->sequence[CLIENT] = random_below(UINT32_MAX);
    connection->sequence[SERVER] = random_below(UINT32_MAX);
    connection->open = true;
    packet(connection, CLIENT, SYN, "", 0);
    packet(connection, SERVER, SYN | ACK, "", 0);
    packet(connection, CLIENT, ACK, "", 0);
}

static void close_connection(struct connection *connection)
{
    packet(connection, CLIENT, FIN | ACK, "", 0);
    packet(connection, SERVER, FIN | ACK, "", 0);
    packet(connection, CLIENT, ACK, "", 0);
    connection->open = false;
}

static void start_transaction(struct connection *connection)
{
    static uint32_t opened;
    if (!connection->open)
        open_connection(connection, opened++);
    uint32_t choice = random_below(100);
    if (!connection->transactions)
        login(connection);
    else if (choice < 92)
        property_read(connection);
    else if (choice < 99)
        poll_updates(connection);
    else
        power_operation(connection);
    connection->sent[CLIENT] = connection->sent[SERVER] = connection->unacknowledged = 0;
    connection->in_flight = true;
}

/* The next packet of the transaction under way; clears in_flight after its last one. */
static void step(struct connection *connection)
{
    enum side from = connection->sent[CLIENT] < connection->request_bytes ? CLIENT : SERVER;
    uint32_t total = from == CLIENT ? connection->request_bytes : connection->response_bytes;
    const char *data = from == CLIENT ? connection->request : connection->response;
    uint32_t at = connection->sent[from], left = total - at;
    bool last = left <= SEGMENT_BYTES;
    if (connection->unacknowledged == 2 || (from == SERVER && left == 0)) {
        packet(connection, CLIENT, ACK, "", 0);
        connection->unacknowledged = 0;
        connection->in_flight = left != 0;
        if (connection->in_flight)
            return;
        transactions++;
        if (++connection->transactions == TRANSACTIONS_PER_CONNECTION)
            close_connection(connection);
        return;
    }
    packet(connection, from, last ? PUSH | ACK : ACK, data + at, last ? left : SEGMENT_BYTES);
    connection->sent[from] += last ? left : SEGMENT_BYTES;
    connection->unacknowledged += from == SERVER;
}

static struct connection *idle_connection(void)
{
    for (;;) {
        struct connection *connection = &connections[random_below(CONNECTIONS)];
        if (!connection->in_flight)
            return connection;
    }
}

int main(int count, char **arguments)
{
    if (count != 4) {
        fprintf(stderr, "usage: generate FILE BYTES SEED\n");
        return 2;
    }
    uint64_t wanted = strtoull(arguments[2], NULL, 10);
    random_state = strtoull(arguments[3], NULL, 10) * 0x9e3779b97f4a7c15ull + 1;
    out = fopen(arguments[1], "wb");
    if (!out) {
        perror(arguments[1]);
        return 1;
    }
    const uint32_t header[6] = {0xa1b2c3d4, 2 | 4 << 16, 0, 0, 262144, 1};
    write_all(header, sizeof header);
    struct connection *active[IN_FLIGHT] = {0};
    for (bool running = true; running;) {
        struct connection **slot = &active[random_below(IN_FLIGHT)];
        if (*slot && (*slot)->in_flight) {
            step(*slot);
            continue;
        }
        if (written_bytes < wanted) {
            start_transaction(*slot = idle_connection());
            continue;
        }
        running = false;
        for (int at = 0; at < IN_FLIGHT; at++)
            running |= active[at] && active[at]->in_flight;
    }
    if (fclose(out)) {
        perror(arguments[1]);
        return 1;
    }
    printf("{\"packets\": %" PRIu64 ", \"transactions\": %" PRIu64 ", \"actions\": %" PRIu64
           ", \"logins\": %" PRIu64 "}\n",
           packets, transactions, actions, logins);
    return 0;
}
