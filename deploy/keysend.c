/* Hands the TLS session secrets of a program that uses OpenSSL to hoptap; a library to preload.
 *
 *     gcc -D_GNU_SOURCE -O2 -shared -fPIC -o keysend.so keysend.c -lssl
 *     LD_PRELOAD=/usr/local/lib/keysend.so KEYSEND_TO=/run/hoptap/keys.sock nginx
 *
 * Each secret is a datagram to the socket that `[keys] unix` names, as RFC 9850 writes it. Nothing goes
 * to disk. A program never waits for the sensor: where that is away or slow, the secret is lost. A
 * program that logs its secrets itself goes on doing that instead. */
#include <dlfcn.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* Set once, before main: servers empty their environment later. */
static struct sockaddr_un sensor;

__attribute__((constructor)) static void find_sensor(void)
{
    const char *path = secure_getenv("KEYSEND_TO");
    if (path && strlen(path) < sizeof sensor.sun_path) {
        sensor.sun_family = AF_UNIX;
        strcpy(sensor.sun_path, path);
    }
}

/* A socket of its own each time: servers fork, and close what they do not know. */
static void send_secret(const SSL *ssl, const char *line)
{
    (void)ssl;
    int sender = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (sender < 0)
        return;
    (void)!sendto(sender, line, strlen(line), MSG_DONTWAIT | MSG_NOSIGNAL,
                  (const struct sockaddr *)&sensor, sizeof sensor);
    close(sender);
}

static SSL_CTX *listened_to(SSL_CTX *context)
{
    if (context && sensor.sun_family)
        SSL_CTX_set_keylog_callback(context, send_secret);
    return context;
}

SSL_CTX *SSL_CTX_new(const SSL_METHOD *method)
{
    SSL_CTX *(*next)(const SSL_METHOD *);
    *(void **)&next = dlsym(RTLD_NEXT, "SSL_CTX_new");
    return next ? listened_to(next(method)) : NULL;
}

SSL_CTX *SSL_CTX_new_ex(OSSL_LIB_CTX *library, const char *query, const SSL_METHOD *method)
{
    SSL_CTX *(*next)(OSSL_LIB_CTX *, const char *, const SSL_METHOD *);
    *(void **)&next = dlsym(RTLD_NEXT, "SSL_CTX_new_ex");
    return next ? listened_to(next(library, query, method)) : NULL;
}
