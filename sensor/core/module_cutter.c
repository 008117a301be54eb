#include "module.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cutter.h"

/* Tried on a socket that nothing comes to. */
static void attempt(char error[SOURCE_ERROR_BYTES])
{
    struct cutter *cutter = cutter_open(1, error);
    int ends[2];
    if (!cutter)
        return;
    if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, ends) == 0) {
        cutter_attach(cutter, 0, NULL, true, ends[0], error);
        close(ends[0]);
        close(ends[1]);
    }
    cutter_close(cutter);
}

static PyObject *cutting_refused(PyObject *module, PyObject *unused)
{
    char error[SOURCE_ERROR_BYTES] = "";
    (void)module, (void)unused;
    attempt(error);
    return PyUnicode_DecodeUTF8(error, (Py_ssize_t)strlen(error), "replace");
}

static PyMethodDef functions[] = {
    {"cutting_refused", cutting_refused, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

int add_cutter(PyObject *module)
{
    return PyModule_AddFunctions(module, functions);
}
