/* What of a VIX request may be handed up: the names in it, of accounts, files and programs.
 * Everything else is zeroed where it lies, and whatever is in doubt. */
#include "vix.h"

#include <string.h>

enum {
    LENGTHS_BYTES = 8, /* of the name and of the password */
    GROUP_CHARS = 4,
    GROUP_BYTES = 3,
    CODED_NAME_BYTES_MAX = 4096, /* of base64; UNLEN and a domain of Windows are 512 together */
    STRINGS_MAX = 3,
};

/* vixCommands.h, VixUserCredentialType. */
enum vix_credential {
    CREDENTIAL_NAME_PASSWORD = 1,
    CREDENTIAL_NAME_PASSWORD_OBFUSCATED = 4,
    CREDENTIAL_NAMED_INTERACTIVE = 8,
    CREDENTIAL_TICKET = 9,
    CREDENTIAL_SSPI = 10,
    CREDENTIAL_SAML = 11,
    CREDENTIAL_SAML_VERIFIED = 12,
};

bool vix_zero(uint8_t *data, uint32_t bytes)
{
    bool any = false;
    for (uint32_t i = 0; i < bytes; i++)
        any |= data[i] != 0;
    if (any)
        explicit_bzero(data, bytes);
    return any;
}

/* A character of base64 after its escape, which is a backslash and a digit (foundryMsg.c). */
static int unescaped(uint8_t digit)
{
    static const char escaped[] = "\\'\" \r\n\t";
    return digit >= '1' && digit <= '7' ? escaped[digit - '1'] : -1;
}

static int value_of(int c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == '+')
        return 62;
    return c == '/' ? 63 : -1;
}

static uint8_t character_of(unsigned value)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    return (uint8_t)alphabet[value & 63];
}

/* Four characters as up to three bytes, in a number; -1: they are none. *at moves past them. */
static int32_t group_of(const uint8_t *text, uint32_t bytes, uint32_t *at, uint32_t *length)
{
    int32_t group = 0;
    *length = GROUP_BYTES;
    for (int i = 0; i < GROUP_CHARS; i++) {
        if (*at == bytes)
            return -1;
        int c = text[(*at)++];
        if (c == '\\' && *at < bytes)
            c = unescaped(text[(*at)++]);
        bool pads = c == '=' && i >= 2;
        int value = pads ? 0 : value_of(c);
        *length -= pads;
        if (value < 0)
            return -1;
        group = group << 6 | value;
    }
    return group;
}

/* Whether the password behind the name's NUL, byte `name` of the group before `at`, ends in its own:
 * a text that begins within a password has none, and is no name. */
static bool has_password(const uint8_t *text, uint32_t bytes, uint32_t at, int32_t group,
                         uint32_t length, uint32_t name)
{
    const uint8_t *nul = memchr(text + at, 0, bytes - at);
    uint32_t end = nul ? (uint32_t)(nul - text) : bytes;
    bool more = name + 1 < length;
    while (at < end) {
        group = group_of(text, end, &at, &length);
        if (group < 0)
            return false;
        more = true;
    }
    return more && !(group >> (24 - 8 * length) & 0xff);
}

/* `name NUL password NUL` in base64: what is decoded of the password is what shares the group of
 * the NUL. That group is written anew without it; the rest is zeroed. False: it is not that. */
static bool blank_coded(uint8_t *text, uint32_t bytes)
{
    for (uint32_t at = 0; at < bytes && at <= CODED_NAME_BYTES_MAX;) {
        uint32_t from = at, length, name = 0;
        int32_t group = group_of(text, bytes, &at, &length);
        if (group < 0)
            return false;
        while (name < length && group >> (16 - 8 * name) & 0xff)
            name++;
        if (name == length)
            continue;
        if (!has_password(text, bytes, at, group, length, name))
            return false;
        uint32_t left = name ? (uint32_t)group & (0xffffffu << (24 - 8 * name) & 0xffffffu) : 0;
        for (int i = 0; i < GROUP_CHARS; i++)
            text[from + (uint32_t)i] = character_of(left >> (18 - 6 * i));
        explicit_bzero(text + from + GROUP_CHARS, bytes - from - GROUP_CHARS);
        return true;
    }
    return false;
}

/* Both as they are, after their lengths. How a client writes them on TCP 902 is not published: only
 * if every length agrees. */
static bool blank_plain(uint8_t *region, uint32_t bytes)
{
    uint32_t name = little32(region), password = little32(region + 4);
    uint8_t *text = region + LENGTHS_BYTES;
    uint32_t room = bytes - LENGTHS_BYTES;
    if (!name || name >= room || text[name] || memchr(text, 0, name))
        return false;
    uint32_t rest = room - name;
    if (rest < 1 || (rest - 1 != password && (rest < 2 || rest - 2 != password)))
        return false;
    explicit_bzero(text + name, rest);
    return true;
}

/* A length below 64 KiB has two zeros where the coded text, which is printable, has none. */
static uint32_t lengths_bytes(const uint8_t *region, uint32_t bytes)
{
    return bytes >= LENGTHS_BYTES && !region[2] && !region[3] ? LENGTHS_BYTES : 0;
}

static bool blank_password(uint8_t *region, uint32_t bytes)
{
    uint32_t lengths = lengths_bytes(region, bytes);
    if (blank_coded(region + lengths, bytes - lengths))
        return true;
    if (lengths && blank_plain(region, bytes))
        return true;
    return vix_zero(region + lengths, bytes - lengths);
}

bool vix_blank_credential(uint8_t *region, uint32_t bytes, uint32_t type)
{
    if (!bytes)
        return false;
    switch (type) {
    case CREDENTIAL_NAME_PASSWORD:
    case CREDENTIAL_NAME_PASSWORD_OBFUSCATED:
    case CREDENTIAL_NAMED_INTERACTIVE:
        return blank_password(region, bytes);
    case CREDENTIAL_TICKET: /* a decoder makes a keyed hash of it, to join sessions */
    case CREDENTIAL_SSPI:   /* holds the name of the account, in NTLM's own form */
    case CREDENTIAL_SAML:   /* holds the subject */
    case CREDENTIAL_SAML_VERIFIED:
        return false;
    }
    return vix_zero(region, bytes);
}

/* Of a body: a fixed part, and in it the lengths of the strings that may be kept, which come first.
 * Layouts are those of vixCommands.h, each string with its NUL. */
struct body_layout {
    uint8_t opcode;
    uint8_t fixed_bytes;
    uint8_t strings;
    uint8_t length_at[STRINGS_MAX];
};

static const struct body_layout layouts[] = {
    {4, 12, 1, {4}},       /* run program: its arguments go */
    {8, 12, 1, {0}},       /* registry, old: values go */
    {10, 12, 1, {0}},
    {12, 16, 2, {4, 8}},   /* copy; unverified: the layout of 76 */
    {13, 16, 2, {4, 8}},
    {14, 14, 1, {6}},      /* snapshot */
    {15, 8, 0, {0}},
    {16, 8, 0, {0}},
    {18, 8, 1, {4}},
    {19, 8, 1, {4}},
    {22, 8, 1, {4}},
    {39, 14, 1, {6}},
    {40, 8, 0, {0}},
    {46, 16, 1, {4}},      /* run script: its interpreter stays */
    {70, 8, 1, {4}},
    {71, 8, 1, {4}},
    {72, 8, 1, {4}},
    {73, 8, 1, {4}},
    {76, 16, 2, {4, 8}},
    {77, 12, 1, {4}},
    {79, 8, 1, {4}},       /* one of two: an option says which, and so do the lengths */
    {79, 16, 1, {4}},
    {85, 12, 0, {0}},
    {88, 12, 1, {8}},      /* variables: their values go */
    {89, 16, 1, {8}},
    {94, 8, 1, {4}},
    {177, 28, 1, {4}},
    {178, 13, 1, {4}},
    {179, 17, 2, {4, 8}},
    {180, 17, 2, {4, 8}},
    {181, 20, 3, {4, 8, 12}},
    {182, 20, 3, {4, 8, 12}},
    {183, 38, 1, {34}},
    {185, 21, 1, {1}},     /* start program: arguments and environment go */
    {188, 28, 1, {4}},
    {188, 8, 1, {4}},
    {189, 9, 1, {4}},
    {193, 12, 0, {0}},
    {194, 8, 1, {4}},
    {195, 13, 1, {4}},
    {197, 25, 1, {4}},     /* aliases: certificates go */
    {198, 20, 1, {4}},
    {199, 8, 1, {4}},
    {201, 17, 1, {4}},     /* registry, new: values go */
    {202, 25, 1, {12}},
    {203, 13, 1, {4}},
    {204, 24, 1, {4}},
    {205, 25, 1, {12}},
    {206, 16, 1, {4}},
    {207, 20, 1, {4}},
};

/* What may be kept: each string must be as long as its length says, its NUL counted or not; else it
 * is another layout, and 0. */
static uint32_t bytes_to_keep(const struct body_layout *layout, const uint8_t *body, uint32_t bytes)
{
    uint32_t at = layout->fixed_bytes;
    if (bytes < at)
        return 0;
    for (uint8_t i = 0; i < layout->strings; i++) {
        uint32_t said = little32(body + layout->length_at[i]);
        const uint8_t *end = memchr(body + at, 0, bytes - at);
        uint32_t length = end ? (uint32_t)(end - body) - at : 0;
        if (!end || (said != length && said != length + 1))
            return 0;
        at += length + 1;
    }
    return at;
}

enum { OPEN_VM = 47 };

/* Opening a VM: the layout is not published; the path of its configuration is all that stays. */
static bool blank_open(uint8_t *body, uint32_t bytes)
{
    static const char suffix[] = ".vmx";
    enum { SUFFIX_BYTES = sizeof suffix - 1 };
    for (uint32_t at = 0; bytes >= SUFFIX_BYTES && at <= bytes - SUFFIX_BYTES; at++) {
        uint32_t end = at + SUFFIX_BYTES, from = at;
        if (memcmp(body + at, suffix, SUFFIX_BYTES) != 0 || (end < bytes && body[end]))
            continue;
        while (from > 0 && body[from - 1] >= ' ' && body[from - 1] != 0x7f)
            from--;
        bool before = vix_zero(body, from);
        return vix_zero(body + end, bytes - end) || before;
    }
    return vix_zero(body, bytes);
}

bool vix_blank_body(uint8_t *body, uint32_t bytes, uint32_t opcode)
{
    uint32_t keep = 0;
    if (opcode == OPEN_VM)
        return blank_open(body, bytes);
    for (size_t i = 0; i < sizeof layouts / sizeof *layouts && !keep; i++) {
        if (layouts[i].opcode == opcode)
            keep = bytes_to_keep(&layouts[i], body, bytes);
    }
    return vix_zero(body + keep, bytes - keep);
}
