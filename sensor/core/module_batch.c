#include "module.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

struct iterator_object {
    PyObject_HEAD
    PyObject *batch; /* owned: a struct batch_object */
    size_t next;
};

static const char *const tunnel_names[TUNNELS] = {"", "gre", "erspan", "vxlan", "geneve", "ipip"};

static PyObject *address_text(const uint8_t address[ADDRESS_BYTES])
{
    static const uint8_t v4_mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    char text[INET6_ADDRSTRLEN];
    if (memcmp(address, v4_mapped, sizeof v4_mapped) == 0)
        inet_ntop(AF_INET, address + sizeof v4_mapped, text, sizeof text);
    else
        inet_ntop(AF_INET6, address, text, sizeof text);
    return PyUnicode_FromString(text);
}

/* Where a tap found no socket, the process stands for its end, and what it talks to for the other. */
static PyObject *end_text(const struct flow_description *flow, enum direction end)
{
    if (!flow->tap.pid || flow->tap.placed)
        return address_text(flow->address[end]);
    bool own = flow->tap.serves == (end == TO_SERVER);
    return PyUnicode_FromFormat(own ? "process:%u" : "peer of process:%u", flow->tap.pid);
}

static PyObject *bytes_at(const struct batch *batch, struct extent extent)
{
    return PyBytes_FromStringAndSize((const char *)batch->arena + extent.at, extent.bytes);
}

/* Names of the wire are bytes: latin-1 keeps each of them and cannot fail. */
static PyObject *text_at(const struct batch *batch, struct extent extent)
{
    return PyUnicode_DecodeLatin1((const char *)batch->arena + extent.at, extent.bytes, NULL);
}

static PyObject *flow_value(const struct batch *batch, size_t at)
{
    struct flow_description flow;
    memcpy(&flow, batch->arena + at, sizeof flow);
    PyObject *items[] = {
        PyLong_FromLong(flow.protocol),
        end_text(&flow, TO_CLIENT),
        PyLong_FromLong(flow.port[TO_CLIENT]),
        end_text(&flow, TO_SERVER),
        PyLong_FromLong(flow.port[TO_SERVER]),
        PyLong_FromLong(flow.vlan == VLAN_NONE ? -1 : flow.vlan),
        PyUnicode_FromString(tunnel_names[flow.tunnel]),
        PyUnicode_FromString(flow.community),
        PyUnicode_FromString(flow.uid),
        PyLong_FromLong(flow.source),
        PyLong_FromUnsignedLong(flow.tap.pid),
        PyLong_FromLong(flow.tap.number),
        PyBool_FromLong(flow.tap.serves),
        PyUnicode_DecodeLocale(flow.process, "surrogateescape"),
        PyUnicode_DecodeLocale(flow.cgroup, "surrogateescape"),
    };
    return tuple_of(items, sizeof items / sizeof *items);
}

static PyObject *transaction_value(const struct batch *batch, size_t at)
{
    struct event_transaction transaction;
    memcpy(&transaction, batch->arena + at, sizeof transaction);
    const struct extent *slice = transaction.slice;
    PyObject *items[] = {
        PyLong_FromUnsignedLongLong(transaction.request_ns),
        PyLong_FromUnsignedLongLong(transaction.response_ns),
        PyLong_FromUnsignedLongLong(transaction.end_ns),
        text_at(batch, slice[0]),
        text_at(batch, slice[1]),
        PyLong_FromLong(transaction.status),
        bytes_at(batch, slice[2]),
        bytes_at(batch, slice[3]),
        bytes_at(batch, slice[4]),
        bytes_at(batch, slice[5]),
        text_at(batch, slice[6]),
        text_at(batch, slice[7]),
        text_at(batch, slice[8]),
        text_at(batch, slice[9]),
        PyLong_FromLong(transaction.flags),
    };
    return tuple_of(items, sizeof items / sizeof *items);
}

static PyObject *tls_value(const struct batch *batch, size_t at)
{
    struct tls_info info;
    memcpy(&info, batch->arena + at, sizeof info);
    char random_hash[17];
    snprintf(random_hash, sizeof random_hash, "%016" PRIx64, info.random_hash);
    return Py_BuildValue("IiisiiiNN"
                         "ssssssssssssss",
                         info.session, info.version, info.cipher,
                         info.cipher_name ? info.cipher_name : "", info.visibility, info.trouble,
                         info.key_source, PyBool_FromLong(info.resumed),
                         PyBool_FromLong(info.early_data), info.sni, info.alpn, info.alpn_offered,
                         info.ja3, info.ja3s, info.ja4, info.ja4s, info.subject, info.issuer,
                         info.fingerprint, info.client_subject, info.client_issuer,
                         info.client_fingerprint, random_hash);
}

static PyObject *message_value(const struct batch *batch, size_t at)
{
    struct event_message message;
    memcpy(&message, batch->arena + at, sizeof message);
    return Py_BuildValue("iiIKKN", message.protocol, message.flags, message.session,
                         (unsigned long long)message.size_bytes,
                         (unsigned long long)message.start_ns, bytes_at(batch, message.data));
}

static PyObject *value_of(const struct batch *batch, const struct event *event)
{
    const struct flow_totals *totals = &event->value.totals;
    switch ((enum event_kind)event->kind) {
    case EVENT_FLOW:
        return flow_value(batch, event->value.at);
    case EVENT_TRANSACTION:
        return transaction_value(batch, event->value.at);
    case EVENT_CHUNK:
    case EVENT_DATAGRAM:
    case EVENT_PROXY_HEADER:
        return bytes_at(batch, event->value.bytes);
    case EVENT_GAP:
        return PyLong_FromUnsignedLongLong(event->value.gap_bytes);
    case EVENT_TLS:
        return tls_value(batch, event->value.at);
    case EVENT_MESSAGE:
        return message_value(batch, event->value.at);
    case EVENT_FLOW_END:
        return Py_BuildValue("KKKK", totals->packets[TO_SERVER], totals->packets[TO_CLIENT],
                             totals->bytes[TO_SERVER], totals->bytes[TO_CLIENT]);
    }
    PyErr_SetString(PyExc_SystemError, "event of unknown kind");
    return NULL;
}

static PyObject *iterator_next(PyObject *object)
{
    struct iterator_object *self = (struct iterator_object *)object;
    const struct batch *batch = ((struct batch_object *)self->batch)->batch;
    if (self->next >= batch->event_count)
        return NULL;
    const struct event *event = &batch->events[self->next++];
    PyObject *items[] = {
        PyLong_FromLong(event->kind),
        PyLong_FromUnsignedLong(event->flow),
        PyLong_FromLong(event->direction),
        PyLong_FromUnsignedLongLong(event->time_ns),
        PyLong_FromUnsignedLongLong(event->ordinal),
        value_of(batch, event),
    };
    return tuple_of(items, sizeof items / sizeof *items);
}

static void iterator_dealloc(PyObject *self)
{
    Py_XDECREF(((struct iterator_object *)self)->batch);
    free_object(self);
}

static PyType_Slot iterator_slots[] = {
    {Py_tp_dealloc, iterator_dealloc},
    {Py_tp_iter, PyObject_SelfIter},
    {Py_tp_iternext, iterator_next},
    {0, NULL},
};

PyType_Spec iterator_spec = {
    "sensor._core.BatchIterator", sizeof(struct iterator_object), 0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, iterator_slots,
};

static PyObject *batch_iterate(PyObject *self)
{
    struct module_state *state = PyType_GetModuleState(Py_TYPE(self));
    struct iterator_object *iterator = (struct iterator_object *)new_object(state->iterator_type);
    if (!iterator)
        return NULL;
    Py_INCREF(self);
    iterator->batch = self;
    return (PyObject *)iterator;
}

static Py_ssize_t batch_length(PyObject *self)
{
    return (Py_ssize_t)((struct batch_object *)self)->batch->event_count;
}

static void batch_dealloc(PyObject *object)
{
    struct batch_object *self = (struct batch_object *)object;
    batch_close(self->batch);
    Py_XDECREF(self->error);
    free_object(object);
}

static PyMemberDef batch_members[] = {
    {"watermark_ns", T_ULONGLONG, offsetof(struct batch_object, watermark_ns), READONLY, NULL},
    {"watermark_ordinal", T_ULONGLONG, offsetof(struct batch_object, watermark_ordinal), READONLY,
     NULL},
    {"end", T_BOOL, offsetof(struct batch_object, end), READONLY, NULL},
    {"error", T_OBJECT, offsetof(struct batch_object, error), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot batch_slots[] = {
    {Py_tp_dealloc, batch_dealloc},
    {Py_tp_iter, batch_iterate},
    {Py_sq_length, batch_length},
    {Py_tp_members, batch_members},
    {0, NULL},
};

PyType_Spec batch_spec = {
    "sensor._core.Batch", sizeof(struct batch_object), 0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, batch_slots,
};
