#include "module.h"

#include "signature.h"

static PyObject *refuse(enum signature_verdict verdict)
{
    if (verdict == SIGNATURE_NOT_A_KEY)
        PyErr_SetString(PyExc_ValueError, "no key in PEM that opens without a passphrase");
    else if (verdict == SIGNATURE_NOT_ED25519)
        PyErr_SetString(PyExc_ValueError, "no Ed25519 key");
    else
        PyErr_SetString(PyExc_RuntimeError, "libcrypto does not do Ed25519");
    return NULL;
}

static PyObject *bytes_of(const uint8_t *data, size_t bytes)
{
    return PyBytes_FromStringAndSize((const char *)data, (Py_ssize_t)bytes);
}

static struct signed_bytes viewed(const Py_buffer *view)
{
    return (struct signed_bytes){view->buf, (size_t)view->len};
}

static PyObject *sign(PyObject *module, PyObject *arguments)
{
    (void)module;
    Py_buffer pem, message;
    if (!PyArg_ParseTuple(arguments, "y*y*", &pem, &message))
        return NULL;
    uint8_t signature[SIGNATURE_BYTES];
    enum signature_verdict verdict = signature_make(viewed(&pem), viewed(&message), signature);
    PyBuffer_Release(&pem);
    PyBuffer_Release(&message);
    return verdict == SIGNATURE_GOOD ? bytes_of(signature, sizeof signature) : refuse(verdict);
}

static PyObject *public_key(PyObject *module, PyObject *arguments)
{
    (void)module;
    Py_buffer pem;
    if (!PyArg_ParseTuple(arguments, "y*", &pem))
        return NULL;
    uint8_t raw[SIGNATURE_KEY_BYTES];
    enum signature_verdict verdict = signature_public(viewed(&pem), raw);
    PyBuffer_Release(&pem);
    return verdict == SIGNATURE_GOOD ? bytes_of(raw, sizeof raw) : refuse(verdict);
}

static PyObject *is_signed(PyObject *module, PyObject *arguments)
{
    (void)module;
    Py_buffer raw, message, signature;
    if (!PyArg_ParseTuple(arguments, "y*y*y*", &raw, &message, &signature))
        return NULL;
    enum signature_verdict verdict = SIGNATURE_NOT_ED25519;
    if (raw.len == SIGNATURE_KEY_BYTES)
        verdict = signature_check(raw.buf, viewed(&message), viewed(&signature));
    PyBuffer_Release(&raw);
    PyBuffer_Release(&message);
    PyBuffer_Release(&signature);
    if (verdict == SIGNATURE_GOOD || verdict == SIGNATURE_BAD)
        return PyBool_FromLong(verdict == SIGNATURE_GOOD);
    return refuse(verdict);
}

static PyMethodDef functions[] = {
    {"ed25519_sign", sign, METH_VARARGS, NULL},
    {"ed25519_public_key", public_key, METH_VARARGS, NULL},
    {"ed25519_is_signed", is_signed, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

int add_signature(PyObject *module)
{
    return PyModule_AddFunctions(module, functions);
}
