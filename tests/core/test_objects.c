/* links: objects.c interest.c interest_match.c needles.c operations.c */
#include <stdlib.h>

#include "check.h"
#include "interest_match.h"
#include "objects.h"

enum { STEPS_MAX = 5 };

/* One property of one object, as RetrievePropertiesEx and as WaitForUpdatesEx give it. */
#define READ_OF(object, properties)                                                                \
    "<objects><obj type=\"VirtualMachine\">" object "</obj>" properties "</objects>"
#define IN_SET(name, value)                                                                        \
    "<propSet><name>" name "</name><val xsi:type=\"xsd:string\">" value "</val></propSet>"
#define UPDATE_OF(object, changes)                                                                 \
    "<objectSet><kind>modify</kind><obj type=\"VirtualMachine\">" object "</obj>" changes          \
    "</objectSet>"
#define IN_CHANGE(name, value)                                                                     \
    "<changeSet><name>" name "</name><op>assign</op>"                                              \
    "<val xsi:type=\"xsd:string\">" value "</val></changeSet>"
#define ANSWER(objects)                                                                            \
    "<?xml version=\"1.0\"?>\n<e:Envelope><e:Body><RetrievePropertiesExResponse "                  \
    "xmlns=\"urn:vim25\"><returnval>" objects "</returnval></RetrievePropertiesExResponse>"        \
    "</e:Body></e:Envelope>"
#define CONFIG(memory)                                                                             \
    "<propSet><name>summary.config</name><val xsi:type=\"VirtualMachineConfigSummary\">"           \
    "<name>web</name><vmPathName>[ds] web/web.vmx</vmPathName><memorySizeMB>" memory               \
    "</memorySizeMB></val></propSet>"
#define PARENT(id)                                                                                 \
    "<propSet><name>parentVApp</name><val type=\"VirtualApp\" "                                    \
    "xsi:type=\"ManagedObjectReference\">" id "</val></propSet>"

#define VM_1 READ_OF("vm-1", IN_SET("config.uuid", "u-1") IN_SET("name", "web") PARENT("vapp-7"))
#define VM_2 READ_OF("vm-2", IN_SET("config.uuid", "u-2") IN_SET("name", "db"))

struct step {
    const char *body;
    uint8_t server; /* last byte of its address */
    bool news;
};

struct row {
    const char *name;
    struct step steps[STEPS_MAX];
};

static const struct row rows[] = {
    {"said again", {{ANSWER(VM_1 VM_2), 1, true}, {ANSWER(VM_1 VM_2), 1, false}}},
    {"said again in another order, and in parts",
     {{ANSWER(VM_1 VM_2), 1, true}, {ANSWER(VM_2 VM_1), 1, false}, {ANSWER(VM_2), 1, false}}},
    {"one value changed, then back: what was seen once is known",
     {{READ_OF("vm-1", IN_SET("name", "web")), 1, true},
      {READ_OF("vm-1", IN_SET("name", "web2")), 1, true},
      {READ_OF("vm-1", IN_SET("name", "web")), 1, false}}},
    {"the last of many is new", {{ANSWER(VM_1), 1, true}, {ANSWER(VM_1 VM_2), 1, true}}},
    {"another object of the same name",
     {{READ_OF("vm-1", IN_SET("name", "web")), 1, true},
      {READ_OF("vm-2", IN_SET("name", "web")), 1, true}}},
    {"the same value under another property",
     {{READ_OF("vm-1", IN_SET("name", "web")), 1, true},
      {READ_OF("vm-1", IN_SET("config.uuid", "web")), 1, true}}},
    {"a property nobody asked for",
     {{READ_OF("vm-1", IN_SET("runtime.bootTime", "1")), 1, false},
      {READ_OF("vm-1", IN_SET("name", "web") IN_SET("runtime.bootTime", "1")), 1, true},
      {READ_OF("vm-1", IN_SET("name", "web") IN_SET("runtime.bootTime", "2")), 1, false},
      {READ_OF("vm-1", IN_SET("nam", "x") IN_SET("names", "x")), 1, false}}},
    {"the same moref at another server",
     {{ANSWER(VM_1), 1, true}, {ANSWER(VM_1), 2, true}, {ANSWER(VM_1), 1, false}}},
    {"a value of elements stands whole",
     {{READ_OF("vm-1", CONFIG("512")), 1, true},
      {READ_OF("vm-1", CONFIG("512")), 1, false},
      {READ_OF("vm-1", CONFIG("513")), 1, true}}},
    {"a reference",
     {{READ_OF("vm-1", PARENT("a")), 1, true}, {READ_OF("vm-1", PARENT("b")), 1, true}}},
    {"an update, whose value comes after <op>",
     {{UPDATE_OF("vm-1", IN_CHANGE("name", "web")), 1, true},
      {UPDATE_OF("vm-1", IN_CHANGE("name", "web")), 1, false},
      {UPDATE_OF("vm-1", IN_CHANGE("guest.toolsStatus", "ok")), 1, false},
      {UPDATE_OF("vm-1", IN_CHANGE("name", "db")), 1, true}}},
    {"a read and an update say the same",
     {{READ_OF("vm-1", IN_SET("name", "web")), 1, true},
      {UPDATE_OF("vm-1", IN_CHANGE("name", "web")), 1, false}}},
    {"a property taken away has no value",
     {{UPDATE_OF("vm-1", "<changeSet><name>name</name><op>remove</op></changeSet>"), 1, false}}},
    {"an empty value is one", {{READ_OF("vm-1", IN_SET("name", "")), 1, true},
                               {READ_OF("vm-1", IN_SET("name", "")), 1, false},
                               {READ_OF("vm-1", IN_SET("name", "x")), 1, true}}},
    {"no object: Fetch, and a name before any obj",
     {{"<FetchResponse><returnval>web</returnval></FetchResponse>", 1, false},
      {IN_SET("name", "web"), 1, false},
      {IN_SET("name", "web") READ_OF("vm-1", ""), 1, false}}},
    {"elements that only begin like ours",
     {{"<object>vm-1</object><name>name</name><val>web</val>", 1, false},
      {READ_OF("vm-1", "<name>name</name><value>web</value><values>web</values>"), 1, false},
      {READ_OF("vm-1", "<names>name</names><val>web</val>"), 1, false}}},
    {"one value for each name",
     {{READ_OF("vm-1", "<name>name</name><val>a</val>"), 1, true},
      {READ_OF("vm-1", "<name>name</name><val>a</val><val>b</val>"), 1, false}}},
    {"nothing at all",
     {{"", 1, false}, {"<", 1, false}, {"<obj>", 1, false}, {"no tag", 1, false}}},
};

static struct interest *interest_in_identity(void)
{
    static const char *const names[] = {"name", "config.uuid", "summary.config", "parentVApp"};
    struct interest *interest = interest_open();
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        CHECK(interest_add_object_property(interest, names[i]));
    return interest;
}

static bool is_news(const struct interest *interest, struct changes *changes, uint8_t server,
                    const void *body, size_t bytes)
{
    uint8_t address[ADDRESS_BYTES] = {[10] = 0xff, [11] = 0xff, [15] = server};
    return objects_are_new(interest, changes, address, (struct slice){body, (uint32_t)bytes});
}

static void check_rows(const struct interest *interest)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct changes *changes = changes_open();
        for (int k = 0; k < STEPS_MAX && rows[i].steps[k].body; k++) {
            const struct step *step = &rows[i].steps[k];
            size_t bytes = strlen(step->body);
            bool news =
                is_news(interest, changes, step->server, guarded(step->body, bytes), bytes);
            CHECK(news == step->news);
            if (news != step->news)
                fprintf(stderr, "%s: step %d\n", rows[i].name, k + 1);
        }
        changes_close(changes);
    }
}

/* Cut anywhere: nothing is read past the end, and what stood before the cut is remembered. */
static void check_cuts(const struct interest *interest)
{
    static const char whole[] = ANSWER(VM_1 VM_2);
    const char *first_value_end = strstr(whole, "</val>");
    const char *last_value_end = strstr(whole, "db</val>") + strlen("db<");
    for (size_t bytes = 0; bytes < sizeof whole; bytes++) {
        struct changes *changes = changes_open();
        const uint8_t *cut = guarded(whole, bytes);
        bool news = is_news(interest, changes, 1, cut, bytes);
        CHECK(news || whole + bytes < first_value_end);
        CHECK(!is_news(interest, changes, 1, cut, bytes));
        /* half a value is another value, so the rest is no news only when no value is missing */
        CHECK(is_news(interest, changes, 1, whole, sizeof whole - 1) ==
              (whole + bytes < last_value_end - 1));
        changes_close(changes);
    }
}

/* The same scan a byte at a time, with the texts themselves instead of hashes. */

enum { SOUP_BYTES = 400, TRIPLES_MAX = 512 };

struct text {
    const uint8_t *data;
    size_t bytes;
};

struct triple {
    struct text object, name, value;
};

static bool same(struct text a, struct text b)
{
    return a.bytes == b.bytes && memcmp(a.data, b.data, a.bytes) == 0;
}

static bool begins(const uint8_t *at, const uint8_t *end, const char *with)
{
    size_t bytes = strlen(with);
    return (size_t)(end - at) >= bytes && memcmp(at, with, bytes) == 0;
}

static bool is_element(const uint8_t *at, const uint8_t *end, const char *open)
{
    size_t bytes = strlen(open);
    return begins(at, end, open) && end - at >= 6 && (at[bytes] == '>' || at[bytes] == ' ');
}

static const uint8_t *skip_to(const uint8_t *at, const uint8_t *end, uint8_t byte)
{
    while (at < end && *at != byte)
        at++;
    return at;
}

static bool is_known(const struct interest *interest, struct text name)
{
    return interest_is_object_property(interest, name.data, (uint32_t)name.bytes);
}

/* Adds what the body says to triples[0..*count); whether any of it was new. */
static bool reference_news(const struct interest *interest, const uint8_t *body, size_t bytes,
                           struct triple *triples, size_t *count)
{
    const uint8_t *end = body + bytes, *at = body;
    struct triple now = {{NULL, 0}, {NULL, 0}, {NULL, 0}};
    bool has_object = false, has_name = false, news = false;
    while (at < end) {
        bool object = is_element(at, end, "<obj"), value = is_element(at, end, "<val");
        bool name = begins(at, end, "<name>");
        if (!object && !name && !(value && has_name)) {
            at++;
            continue;
        }
        const uint8_t *from = skip_to(at, end, '>');
        if (from == end)
            break;
        at = skip_to(++from, end, '<');
        struct text text = {from, (size_t)(at - from)};
        if (object) {
            now.object = text;
            has_object = true;
        } else if (name) {
            now.name = text;
            has_name = has_object && is_known(interest, text);
        } else {
            if (!text.bytes)
                while (text.bytes < (size_t)(end - from) &&
                       !begins(from + text.bytes, end, "</val>"))
                    text.bytes++;
            now.value = text;
            has_name = false;
            bool seen = false;
            for (size_t i = 0; i < *count; i++)
                seen |= same(triples[i].object, now.object) && same(triples[i].name, now.name) &&
                        same(triples[i].value, now.value);
            if (!seen && *count < TRIPLES_MAX)
                triples[(*count)++] = now;
            news |= !seen;
        }
    }
    return news;
}

static size_t make_soup(uint8_t *soup)
{
    static const char *const parts[] = {
        "<obj type=\"V\">", "<obj>", "</obj>", "<name>", "</name>", "<val>", "<val xsi:type=\"s\">",
        "</val>", "name", "config.uuid", "vm-1", "vm-2", "a", "b", "<", ">", "</", "<propSet>",
        "<objectSet>", "<value>", "<val", "<obj", "<name", " ", "<op>assign</op>",
        "<name>name</name>", "<obj>vm-1</obj>", "<name>config.uuid</name><val>",
        "............................",
    };
    size_t bytes = 0, wanted = (size_t)random() % (SOUP_BYTES - 40);
    while (bytes < wanted) {
        const char *part = parts[(size_t)random() % (sizeof parts / sizeof *parts)];
        memcpy(soup + bytes, part, strlen(part));
        bytes += strlen(part);
    }
    return bytes;
}

/* Blocks of 64 bytes begin where the body does: filler before it moves every tag over the edges. */
static void check_soup(const struct interest *interest)
{
    enum { ROUNDS = 150, SHIFTS = 64, BODIES = 3 };
    static uint8_t soup[BODIES][SHIFTS + SOUP_BYTES];
    uint8_t *edge = guarded(soup, sizeof *soup), *edge_end = edge + sizeof *soup;
    int some_news = 0, no_news = 0;
    srandom(11);
    for (int round = 0; round < ROUNDS; round++) {
        size_t bytes[BODIES];
        for (int i = 0; i < BODIES; i++) {
            memset(soup[i], '.', SHIFTS);
            bytes[i] = make_soup(soup[i] + SHIFTS);
        }
        for (size_t shift = 0; shift < SHIFTS; shift++) {
            struct changes *changes = changes_open();
            struct triple triples[TRIPLES_MAX];
            size_t count = 0;
            for (int i = 0; i < BODIES; i++) {
                const uint8_t *body = soup[i] + SHIFTS - shift;
                size_t total = bytes[i] + shift;
                memcpy(edge_end - total, body, total);
                bool news = is_news(interest, changes, 1, edge_end - total, total);
                bool expected = reference_news(interest, body, total, triples, &count);
                CHECK(news == expected);
                *(expected ? &some_news : &no_news) += 1;
            }
            changes_close(changes);
        }
    }
    CHECK(some_news > ROUNDS * SHIFTS / 4 && no_news > ROUNDS * SHIFTS / 4);
}

static void check_random_bytes(const struct interest *interest)
{
    struct changes *changes = changes_open();
    uint8_t bytes[300];
    uint8_t *edge_end = guarded(bytes, sizeof bytes) + sizeof bytes;
    for (int round = 0; round < 20000; round++) {
        size_t size = (size_t)random() % sizeof bytes;
        uint8_t *body = edge_end - size;
        for (size_t i = 0; i < size; i++)
            body[i] = (uint8_t)random();
        CHECK(!is_news(interest, changes, 1, body, size));
    }
    changes_close(changes);
}

int main(void)
{
    struct interest *interest = interest_in_identity();
    check_rows(interest);
    check_cuts(interest);
    check_soup(interest);
    check_random_bytes(interest);
    interest_close(interest);
    return checks_report("objects");
}
