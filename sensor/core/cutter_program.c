/* Layout: the classic program, translated as the kernel does it (bpf_convert_filter() of
 * net/core/filter.c), with its returns made jumps to `dropped`, which stands before it, or `kept`
 * behind it: there the mark is looked for -> `cut`, or `whole`. A load beyond the packet ends the program with 0, as in classic BPF.
 *
 * Registers: R0 the accumulator, R6 the context, R7 the index register, later where the IP header
 * begins, R8 the length of the frame, R9 the value of the map. */
#include "cutter_program.h"

#include <linux/filter.h>
#include <stdlib.h>

#include "cutter.h"
#include "kernelfilter.h"

enum {
    WHOLE = 256 << 10, /* of a packet: all of it */
    STACK_AT = -64, /* the headers of IP and TCP, from there up */
    IPV4_BYTES = 20,
    IPV6_BYTES = 40,
    TCP_BYTES = 20, /* RFC 9293 section 3.1 */
    SEQUENCE_AT = 4,
    OFFSET_AT = 12,
    FLAGS_AT = 13,
    DROP_INSNS = 11, /* of the block that counts what is kept out */
    ETHERTYPE_AT = 12,
    TAG_BYTES = 4,
    TAGS_MAX = 2,
    IPV4 = 0x0800,
    IPV6 = 0x86dd,
    LENGTH_AT = 0, /* struct __sk_buff */
    PATCHES_MAX = 64,
};

static const uint16_t vlan_types[] = {0x8100, 0x88a8, 0x9100, 0x9200}; /* as kernelfilter.c */

struct label { /* jumps whose target is not known yet */
    uint32_t at[PATCHES_MAX];
    uint32_t count;
};

static void emit(struct cutter_code *code, int operation, int to, int from, int offset, int value)
{
    if (code->count == CUTTER_INSNS_MAX) {
        code->full = true;
        return;
    }
    code->insn[code->count++] = (struct bpf_insn){
        .code = (uint8_t)operation,
        .dst_reg = (uint8_t)(to & 15),
        .src_reg = (uint8_t)(from & 15),
        .off = (int16_t)offset,
        .imm = value,
    };
}

static void set(struct cutter_code *code, int to, int value)
{
    emit(code, BPF_ALU64 | BPF_MOV | BPF_K, to, 0, 0, value);
}

static void move(struct cutter_code *code, int to, int from)
{
    emit(code, BPF_ALU64 | BPF_MOV | BPF_X, to, from, 0, 0);
}

static void compute(struct cutter_code *code, int operation, int to, int value)
{
    emit(code, BPF_ALU64 | operation | BPF_K, to, 0, 0, value);
}

static void combine(struct cutter_code *code, int operation, int to, int from)
{
    emit(code, BPF_ALU64 | operation | BPF_X, to, from, 0, 0);
}

/* Of the packet, in host byte order, to R0; R1 to R5 are lost. */
static void load_packet(struct cutter_code *code, int size, int at)
{
    emit(code, BPF_LD | size | BPF_ABS, 0, 0, 0, at);
}

/* Of the headers on the stack, as they lie there. */
static void load_header(struct cutter_code *code, int size, int to, int at)
{
    emit(code, BPF_LDX | size | BPF_MEM, to, BPF_REG_10, STACK_AT + at, 0);
}

static void give(struct cutter_code *code, int bytes)
{
    set(code, BPF_REG_0, bytes);
    emit(code, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
}

/* Jumps if a comparison of 32 bits holds; BPF_JA: always. */
static void jump(struct cutter_code *code, int operation, int left, int value, struct label *to)
{
    if (to->count == PATCHES_MAX) {
        code->full = true;
        return;
    }
    to->at[to->count++] = code->count;
    if (operation == BPF_JA)
        emit(code, BPF_JMP | BPF_JA, 0, 0, 0, 0);
    else
        emit(code, BPF_JMP32 | operation | BPF_K, left, 0, 0, value);
}

static void land(struct cutter_code *code, const struct label *label)
{
    for (uint32_t i = 0; i < label->count && !code->full; i++)
        code->insn[label->at[i]].off = (int16_t)(code->count - label->at[i] - 1);
}

/* How many instructions a classic one becomes; 0: not one that we know. */
static uint32_t translated_length(const struct sock_filter *from)
{
    switch (from->code) {
    case BPF_LDX | BPF_B | BPF_MSH:
        return 4;
    case BPF_JMP | BPF_JEQ | BPF_K:
    case BPF_JMP | BPF_JGE | BPF_K:
    case BPF_JMP | BPF_JGT | BPF_K:
    case BPF_JMP | BPF_JSET | BPF_K:
        return 2;
    case BPF_LD | BPF_H | BPF_ABS:
    case BPF_LD | BPF_B | BPF_ABS:
    case BPF_LD | BPF_H | BPF_IND:
    case BPF_LDX | BPF_IMM:
    case BPF_MISC | BPF_TXA:
    case BPF_MISC | BPF_TAX:
    case BPF_ALU | BPF_ADD | BPF_K:
    case BPF_ALU | BPF_AND | BPF_K:
    case BPF_JMP | BPF_JA:
    case BPF_RET | BPF_K:
        return 1;
    default:
        return 0;
    }
}

struct translation {
    uint32_t start[BPF_MAXINSNS + 1]; /* of each classic instruction, in ours; then the ends */
    uint32_t kept, dropped; /* behind it, and before */
};

static int distance(uint32_t from, uint32_t to)
{
    return (int)to - (int)from - 1;
}

static void translate_one(struct cutter_code *code, const struct sock_filter *from, uint32_t at,
                          const struct translation *places)
{
    int k = (int)from->k;

    switch (from->code) {
    case BPF_LDX | BPF_B | BPF_MSH: /* the accumulator is lost: kernelfilter.c loads it next */
        load_packet(code, BPF_B, k);
        compute(code, BPF_AND, BPF_REG_0, 15);
        compute(code, BPF_LSH, BPF_REG_0, 2);
        move(code, BPF_REG_7, BPF_REG_0);
        break;
    case BPF_LD | BPF_H | BPF_IND:
        emit(code, from->code, 0, BPF_REG_7, 0, k);
        break;
    case BPF_LDX | BPF_IMM:
        set(code, BPF_REG_7, k);
        break;
    case BPF_MISC | BPF_TXA:
        move(code, BPF_REG_0, BPF_REG_7);
        break;
    case BPF_MISC | BPF_TAX:
        move(code, BPF_REG_7, BPF_REG_0);
        break;
    case BPF_JMP | BPF_JA:
        emit(code, BPF_JMP | BPF_JA, 0, 0, distance(code->count, places->start[at + 1 + from->k]),
             0);
        break;
    case BPF_RET | BPF_K:
        emit(code, BPF_JMP | BPF_JA, 0, 0,
             distance(code->count, k ? places->kept : places->dropped), 0);
        break;
    default:
        if (BPF_CLASS(from->code) == BPF_JMP) {
            emit(code, BPF_JMP32 | BPF_OP(from->code) | BPF_K, 0, 0,
                 distance(code->count, places->start[at + 1 + from->jt]), k);
            emit(code, BPF_JMP | BPF_JA, 0, 0,
                 distance(code->count, places->start[at + 1 + from->jf]), 0);
        } else {
            emit(code, from->code, 0, 0, 0, k); /* LD ABS and ALU are the same in both */
        }
    }
}

static bool translate(struct cutter_code *code, const struct kernelfilter *ports,
                      struct translation *places)
{
    uint32_t at = code->count;

    for (uint16_t i = 0; i < ports->count; i++) {
        uint32_t length = translated_length(&ports->code[i]);
        places->start[i] = at;
        if (!length)
            return false;
        at += length;
    }
    places->start[ports->count] = places->kept = at;
    for (uint16_t i = 0; i < ports->count; i++)
        translate_one(code, &ports->code[i], i, places);
    return !code->full && code->count == at;
}

static void value_of_map(struct cutter_code *code, int map)
{
    emit(code, BPF_LD | BPF_DW | BPF_IMM, BPF_REG_9, BPF_PSEUDO_MAP_VALUE, 0, map);
    emit(code, 0, 0, 0, 0, 0);
}

/* One more at `field` of the CPU's line, and R8 at the next. */
static void count(struct cutter_code *code, const struct cutter_program *program, size_t field)
{
    int at = (int)(program->counts_at + field);

    emit(code, BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_get_smp_processor_id);
    emit(code, BPF_JMP | BPF_JLT | BPF_K, BPF_REG_0, 0, 1, (int)program->cpus);
    set(code, BPF_REG_0, 0);
    compute(code, BPF_MUL, BPF_REG_0, (int)sizeof(struct cutter_line));
    compute(code, BPF_ADD, BPF_REG_0, at);
    combine(code, BPF_ADD, BPF_REG_9, BPF_REG_0);
    set(code, BPF_REG_1, 1);
    emit(code, BPF_STX | BPF_DW | BPF_XADD, BPF_REG_9, BPF_REG_1, 0, 0);
    emit(code, BPF_STX | BPF_DW | BPF_XADD, BPF_REG_9, BPF_REG_8, sizeof(uint64_t), 0);
}

static void mix(struct cutter_code *code, int at)
{
    load_header(code, BPF_W, BPF_REG_1, at);
    combine(code, BPF_XOR, BPF_REG_2, BPF_REG_1);
    combine(code, BPF_MUL, BPF_REG_2, BPF_REG_3);
    move(code, BPF_REG_1, BPF_REG_2);
    compute(code, BPF_RSH, BPF_REG_1, 32);
    combine(code, BPF_XOR, BPF_REG_2, BPF_REG_1);
}

/* R7 is where the IP header of the frame begins. */
static void find_ip(struct cutter_code *code, bool ethernet, struct label *whole)
{
    struct label found = {.count = 0};

    set(code, BPF_REG_7, 0);
    if (!ethernet)
        return;
    for (int tags = 0; tags <= TAGS_MAX; tags++) {
        struct label tagged = {.count = 0};
        int type_at = ETHERTYPE_AT + tags * TAG_BYTES;
        load_packet(code, BPF_H, type_at);
        set(code, BPF_REG_7, type_at + 2);
        jump(code, BPF_JEQ, BPF_REG_0, IPV4, &found);
        jump(code, BPF_JEQ, BPF_REG_0, IPV6, &found);
        for (size_t i = 0; tags < TAGS_MAX && i < sizeof vlan_types / sizeof *vlan_types; i++)
            jump(code, BPF_JEQ, BPF_REG_0, vlan_types[i], &tagged);
        jump(code, BPF_JA, 0, 0, whole);
        land(code, &tagged);
    }
    land(code, &found);
}

/* Short frames are kept as they are, but a SYN goes on. It is looked for without tags alone: the
 * outermost one has left the frame. */
static void pass_short(struct cutter_code *code, bool ethernet, struct label *whole)
{
    struct label is_long = {.count = 0}, six = {.count = 0}, look = {.count = 0};
    int ip = ethernet ? ETHERTYPE_AT + 2 : 0;

    jump(code, BPF_JGE, BPF_REG_8, CUTTER_FRAME_BYTES_MIN, &is_long);
    jump(code, BPF_JLT, BPF_REG_8, ip + IPV4_BYTES + TCP_BYTES, whole);
    load_packet(code, BPF_B, ip);
    compute(code, BPF_RSH, BPF_REG_0, 4);
    jump(code, BPF_JEQ, BPF_REG_0, 6, &six);
    load_packet(code, BPF_B, ip + IPV4_BYTES + FLAGS_AT);
    jump(code, BPF_JA, 0, 0, &look);
    land(code, &six);
    jump(code, BPF_JLT, BPF_REG_8, ip + IPV6_BYTES + TCP_BYTES, whole);
    load_packet(code, BPF_B, ip + IPV6_BYTES + FLAGS_AT);
    land(code, &look);
    jump(code, BPF_JSET, BPF_REG_0, TCP_SYN, &is_long);
    jump(code, BPF_JA, 0, 0, whole);
    land(code, &is_long);
}

static void load_headers(struct cutter_code *code, int bytes, struct label *whole)
{
    move(code, BPF_REG_1, BPF_REG_6);
    move(code, BPF_REG_2, BPF_REG_7);
    move(code, BPF_REG_3, BPF_REG_10);
    compute(code, BPF_ADD, BPF_REG_3, STACK_AT);
    set(code, BPF_REG_4, bytes);
    emit(code, BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_skb_load_bytes);
    jump(code, BPF_JNE, BPF_REG_0, 0, whole);
}

/* To R2 the hash of addresses and ports, from the first address on; then of TCP the sequence
 * number to R1, the length of the header to R4, the flags to R0; and R7 is where it begins. */
static void take_tcp(struct cutter_code *code, const struct cutter_program *program,
                     int addresses_at, int ip_bytes)
{
    emit(code, BPF_ALU | BPF_MOV | BPF_K, BPF_REG_2, 0, 0, (int)program->seed);
    emit(code, BPF_LD | BPF_DW | BPF_IMM, BPF_REG_3, 0, 0, (int)program->factor);
    emit(code, 0, 0, 0, 0, (int)CUTTER_FACTOR_HIGH);
    for (int at = addresses_at; at <= ip_bytes; at += 4)
        mix(code, at);
    load_header(code, BPF_W, BPF_REG_1, ip_bytes + SEQUENCE_AT);
    load_header(code, BPF_B, BPF_REG_4, ip_bytes + OFFSET_AT);
    load_header(code, BPF_B, BPF_REG_0, ip_bytes + FLAGS_AT);
    compute(code, BPF_ADD, BPF_REG_7, ip_bytes);
}

static void find_tcp(struct cutter_code *code, const struct cutter_program *program,
                     struct label *whole)
{
    struct label six = {.count = 0}, found = {.count = 0};

    emit(code, BPF_LD | BPF_B | BPF_IND, 0, BPF_REG_7, 0, 0);
    emit(code, BPF_JMP32 | BPF_JEQ | BPF_K, BPF_REG_0, 0, 3, 0x45);
    compute(code, BPF_RSH, BPF_REG_0, 4);
    jump(code, BPF_JEQ, BPF_REG_0, 6, &six);
    jump(code, BPF_JA, 0, 0, whole);
    load_headers(code, IPV4_BYTES + TCP_BYTES, whole);
    load_header(code, BPF_B, BPF_REG_0, 6); /* a fragment; RFC 791 section 3.1 */
    jump(code, BPF_JSET, BPF_REG_0, 0x3f, whole);
    load_header(code, BPF_B, BPF_REG_0, 7);
    jump(code, BPF_JNE, BPF_REG_0, 0, whole);
    load_header(code, BPF_B, BPF_REG_0, 9);
    jump(code, BPF_JNE, BPF_REG_0, PROTO_TCP, whole);
    take_tcp(code, program, 12, IPV4_BYTES);
    jump(code, BPF_JA, 0, 0, &found);
    land(code, &six);
    load_headers(code, IPV6_BYTES + TCP_BYTES, whole);
    load_header(code, BPF_B, BPF_REG_0, 6);
    jump(code, BPF_JNE, BPF_REG_0, PROTO_TCP, whole);
    take_tcp(code, program, 8, IPV6_BYTES);
    land(code, &found);
}

/* To R3 the place of the mark, R5 what stands there, R2 the tag of this direction's, R1 the sequence
 * number in host byte order. */
static void find_mark(struct cutter_code *code)
{
    move(code, BPF_REG_3, BPF_REG_2);
    compute(code, BPF_AND, BPF_REG_3, CUTTER_MARKS - 1);
    compute(code, BPF_LSH, BPF_REG_3, 3);
    combine(code, BPF_ADD, BPF_REG_3, BPF_REG_9);
    emit(code, BPF_LDX | BPF_DW | BPF_MEM, BPF_REG_5, BPF_REG_3, 0, 0);
    compute(code, BPF_RSH, BPF_REG_2, 32);
    compute(code, BPF_OR, BPF_REG_2, 1);
    emit(code, BPF_ALU | BPF_END | BPF_TO_BE, BPF_REG_1, 0, 0, 32);
}

/* A SYN leaves its number, and the tag without its last bit. */
static void decide(struct cutter_code *code, struct label *whole)
{
    struct label syn = {.count = 0}, goes_on = {.count = 0};

    jump(code, BPF_JSET, BPF_REG_0, TCP_SYN, &syn);
    jump(code, BPF_JA, 0, 0, &goes_on);
    land(code, &syn);
    compute(code, BPF_XOR, BPF_REG_2, 1);
    compute(code, BPF_LSH, BPF_REG_2, 32);
    combine(code, BPF_OR, BPF_REG_2, BPF_REG_1);
    emit(code, BPF_STX | BPF_DW | BPF_MEM, BPF_REG_3, BPF_REG_2, 0, 0);
    jump(code, BPF_JA, 0, 0, whole);
    land(code, &goes_on);
    jump(code, BPF_JSET, BPF_REG_0, TCP_FIN | TCP_RST, whole);
    move(code, BPF_REG_8, BPF_REG_5);
    compute(code, BPF_RSH, BPF_REG_8, 32);
    combine(code, BPF_XOR, BPF_REG_8, BPF_REG_2);
    jump(code, BPF_JNE, BPF_REG_8, 0, whole);
    emit(code, BPF_ALU | BPF_SUB | BPF_X, BPF_REG_1, BPF_REG_5, 0, 0);
    jump(code, BPF_JGE, BPF_REG_1, CUTTER_WINDOW, whole);
}

/* Behind the header of TCP, if that leaves something out. */
static void cut(struct cutter_code *code, const struct cutter_program *program,
                struct label *whole)
{
    compute(code, BPF_RSH, BPF_REG_4, 4);
    compute(code, BPF_LSH, BPF_REG_4, 2);
    combine(code, BPF_ADD, BPF_REG_7, BPF_REG_4);
    emit(code, BPF_LDX | BPF_W | BPF_MEM, BPF_REG_8, BPF_REG_6, LENGTH_AT, 0);
    combine(code, BPF_SUB, BPF_REG_8, BPF_REG_7);
    emit(code, BPF_JMP | BPF_JSGT | BPF_K, BPF_REG_8, 0, 1, 0);
    jump(code, BPF_JA, 0, 0, whole);
    count(code, program, offsetof(struct cutter_line, cut));
    move(code, BPF_REG_0, BPF_REG_7);
    emit(code, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
}

bool cutter_assemble(struct cutter_code *code, const struct cutter_program *program)
{
    struct label whole = {.count = 0};
    struct translation *places = calloc(1, sizeof *places);
    bool done = false;

    code->count = 0;
    code->full = false;
    move(code, BPF_REG_6, BPF_REG_1);
    value_of_map(code, program->map);
    emit(code, BPF_LDX | BPF_W | BPF_MEM, BPF_REG_8, BPF_REG_6, LENGTH_AT, 0);
    if (places && program->ports) {
        emit(code, BPF_JMP | BPF_JA, 0, 0, DROP_INSNS, 0);
        places->dropped = code->count;
        count(code, program, offsetof(struct cutter_line, filtered));
        give(code, 0);
    }
    if (places && (!program->ports || translate(code, program->ports, places))) {
        pass_short(code, program->ethernet, &whole);
        find_ip(code, program->ethernet, &whole);
        find_tcp(code, program, &whole);
        find_mark(code);
        decide(code, &whole);
        cut(code, program, &whole);
        land(code, &whole);
        give(code, WHOLE);
        done = true;
    }
    free(places);
    return done && !code->full;
}
