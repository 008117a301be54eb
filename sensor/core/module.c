#include "module.h"

#include "bounds.h"
#include "tls_limits.h"

#define HOPTAP_TEXT(name) #name,
const char *const counter_texts[COUNTERS + TLS_COUNTERS] = {HOPTAP_COUNTERS(HOPTAP_TEXT)
                                                                HOPTAP_TLS_COUNTERS(HOPTAP_TEXT)};
static const char *const limit_texts[] = {HOPTAP_LIMITS(HOPTAP_TEXT)
                                              HOPTAP_TLS_LIMITS(HOPTAP_TEXT)};
#undef HOPTAP_TEXT

PyObject *tuple_of(PyObject **items, Py_ssize_t count)
{
    bool whole = true;
    for (Py_ssize_t i = 0; i < count; i++)
        whole = whole && items[i];
    PyObject *tuple = whole ? PyTuple_New(count) : NULL;
    for (Py_ssize_t i = 0; i < count; i++) {
        if (tuple)
            PyTuple_SetItem(tuple, i, items[i]);
        else
            Py_XDECREF(items[i]);
    }
    return tuple;
}

static int add_texts(PyObject *module, const char *name, const char *const *texts, Py_ssize_t count)
{
    PyObject *tuple = PyTuple_New(count);
    for (Py_ssize_t i = 0; tuple && i < count; i++) {
        PyObject *text = PyUnicode_FromString(texts[i]);
        if (text)
            PyTuple_SetItem(tuple, i, text);
        else
            Py_CLEAR(tuple);
    }
    int failed = !tuple || PyModule_AddObjectRef(module, name, tuple);
    Py_XDECREF(tuple);
    return failed ? -1 : 0;
}

static int add_type(PyObject *module, PyTypeObject **slot, PyType_Spec *spec)
{
    *slot = (PyTypeObject *)PyType_FromModuleAndSpec(module, spec, NULL);
    return *slot ? 0 : -1;
}

static int add_constants(PyObject *module)
{
    static const struct {
        const char *name;
        long value;
    } constants[] = {
        {"FLOW", EVENT_FLOW},
        {"TRANSACTION", EVENT_TRANSACTION},
        {"CHUNK", EVENT_CHUNK},
        {"GAP", EVENT_GAP},
        {"DATAGRAM", EVENT_DATAGRAM},
        {"PROXY_HEADER", EVENT_PROXY_HEADER},
        {"FLOW_END", EVENT_FLOW_END},
        {"TLS", EVENT_TLS},
        {"MESSAGE", EVENT_MESSAGE},
        {"TO_SERVER", TO_SERVER},
        {"TO_CLIENT", TO_CLIENT},
    };
    for (size_t i = 0; i < sizeof constants / sizeof *constants; i++)
        if (PyModule_AddIntConstant(module, constants[i].name, constants[i].value))
            return -1;
    return 0;
}

static int module_exec(PyObject *module)
{
    struct module_state *state = PyModule_GetState(module);
    if (add_type(module, &state->interest_type, &interest_spec) ||
        add_type(module, &state->batch_type, &batch_spec) ||
        add_type(module, &state->iterator_type, &iterator_spec) ||
        add_type(module, &state->source_type, &source_spec) ||
        PyModule_AddType(module, state->interest_type) ||
        PyModule_AddType(module, state->batch_type) ||
        PyModule_AddType(module, state->source_type) || add_constants(module) ||
        add_causes(module) || add_signature(module) || add_cutter(module))
        return -1;
    if (add_texts(module, "COUNTERS", counter_texts, sizeof counter_texts / sizeof *counter_texts))
        return -1;
    return add_texts(module, "LIMITS", limit_texts, sizeof limit_texts / sizeof *limit_texts);
}

static int module_traverse(PyObject *module, visitproc visit, void *arg)
{
    struct module_state *state = PyModule_GetState(module);
    Py_VISIT(state->interest_type);
    Py_VISIT(state->source_type);
    Py_VISIT(state->batch_type);
    Py_VISIT(state->iterator_type);
    return 0;
}

static int module_clear(PyObject *module)
{
    struct module_state *state = PyModule_GetState(module);
    Py_CLEAR(state->interest_type);
    Py_CLEAR(state->source_type);
    Py_CLEAR(state->batch_type);
    Py_CLEAR(state->iterator_type);
    return 0;
}

static PyModuleDef_Slot module_slots[] = {
    {Py_mod_exec, module_exec},
    {0, NULL},
};

static PyModuleDef module_definition = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "sensor._core",
    .m_doc = "The capture core; see sensor/_core.pyi.",
    .m_size = sizeof(struct module_state),
    .m_slots = module_slots,
    .m_traverse = module_traverse,
    .m_clear = module_clear,
};

PyMODINIT_FUNC PyInit__core(void)
{
    return PyModuleDef_Init(&module_definition);
}
