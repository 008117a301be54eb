#include "module.h"

static PyObject *interest_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    if (PyTuple_Size(args) || (kwargs && PyDict_Size(kwargs))) {
        PyErr_SetString(PyExc_TypeError, "Interest() takes no arguments");
        return NULL;
    }
    struct interest_object *self = (struct interest_object *)new_object(type);
    if (!self)
        return NULL;
    self->interest = interest_open();
    if (!self->interest) {
        Py_DECREF(self);
        return PyErr_NoMemory();
    }
    return (PyObject *)self;
}

static void interest_dealloc(PyObject *self)
{
    interest_close(((struct interest_object *)self)->interest);
    free_object(self);
}

enum { NEEDLES_MAX = 64 };

struct needle_texts {
    const char *text[NEEDLES_MAX];
    struct needles needles;
};

/* The texts are the buffers of the tuple's strings: good for as long as the tuple lives. */
static bool needles_of(PyObject *tuple, struct needle_texts *texts)
{
    texts->needles = (struct needles){texts->text, 0};
    Py_ssize_t size = tuple ? PyTuple_Size(tuple) : 0;
    if (size > NEEDLES_MAX) {
        PyErr_Format(PyExc_ValueError, "at most %d needles a rule", NEEDLES_MAX);
        return false;
    }
    for (Py_ssize_t i = 0; i < size; i++) {
        texts->text[i] = PyUnicode_AsUTF8AndSize(PyTuple_GetItem(tuple, i), NULL);
        if (!texts->text[i])
            return false;
    }
    texts->needles.count = (size_t)size;
    return true;
}

static PyObject *added(bool ok)
{
    if (!ok)
        return PyErr_NoMemory();
    Py_RETURN_NONE;
}

static PyObject *interest_operation(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"name", "want", "request_has", "response_has", NULL};
    const char *name;
    unsigned want;
    PyObject *request = NULL, *response = NULL;
    struct needle_texts request_has, response_has;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "sI|O!O!", names, &name, &want, &PyTuple_Type,
                                     &request, &PyTuple_Type, &response) ||
        !needles_of(request, &request_has) || !needles_of(response, &response_has))
        return NULL;
    return added(interest_add_operation(((struct interest_object *)self)->interest, name, want,
                                        request_has.needles, response_has.needles));
}

static PyObject *interest_path(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"method", "path", "want", "request_has", "response_has", NULL};
    const char *method, *path;
    unsigned want;
    PyObject *request = NULL, *response = NULL;
    struct needle_texts request_has, response_has;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "ssI|O!O!", names, &method, &path, &want,
                                     &PyTuple_Type, &request, &PyTuple_Type, &response) ||
        !needles_of(request, &request_has) || !needles_of(response, &response_has))
        return NULL;
    return added(interest_add_path(((struct interest_object *)self)->interest, method, path, want,
                                   request_has.needles, response_has.needles));
}

static PyObject *add_name(PyObject *self, PyObject *args,
                          bool (*add)(struct interest *interest, const char *name))
{
    const char *name;
    if (!PyArg_ParseTuple(args, "s", &name))
        return NULL;
    return added(add(((struct interest_object *)self)->interest, name));
}

static PyObject *interest_token_header(PyObject *self, PyObject *args)
{
    return add_name(self, args, interest_add_token_header);
}

static PyObject *interest_token_cookie(PyObject *self, PyObject *args)
{
    return add_name(self, args, interest_add_token_cookie);
}

static PyObject *interest_object_property(PyObject *self, PyObject *args)
{
    return add_name(self, args, interest_add_object_property);
}

static PyObject *interest_port(PyObject *self, PyObject *args)
{
    unsigned char protocol;
    unsigned short port;
    if (!PyArg_ParseTuple(args, "bH", &protocol, &port))
        return NULL;
    return added(interest_add_port(((struct interest_object *)self)->interest, protocol, port));
}

static PyMethodDef interest_methods[] = {
    {"operation", (PyCFunction)(void (*)(void))interest_operation, METH_VARARGS | METH_KEYWORDS, NULL},
    {"path", (PyCFunction)(void (*)(void))interest_path, METH_VARARGS | METH_KEYWORDS, NULL},
    {"token_header", interest_token_header, METH_VARARGS, NULL},
    {"token_cookie", interest_token_cookie, METH_VARARGS, NULL},
    {"object_property", interest_object_property, METH_VARARGS, NULL},
    {"port", interest_port, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot interest_slots[] = {
    {Py_tp_new, interest_new},
    {Py_tp_dealloc, interest_dealloc},
    {Py_tp_methods, interest_methods},
    {Py_tp_doc, "What to hand up; said before the first source is made."},
    {0, NULL},
};

PyType_Spec interest_spec = {
    "sensor._core.Interest", sizeof(struct interest_object), 0, Py_TPFLAGS_DEFAULT, interest_slots,
};
