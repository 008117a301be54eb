/* TLS within TLS, all in one thread: nested CERTIFICATE. Each function of the inner session calls the
 * same function for the outer one. Waits for a line before it speaks, as client.py. */
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void must(int done, const char *what)
{
    if (done)
        return;
    fprintf(stderr, "%s\n", what);
    exit(1);
}

static SSL *made(SSL_CTX *context, BIO *bio, int server)
{
    SSL *ssl = SSL_new(context);
    must(ssl && bio, "SSL_new");
    SSL_set_bio(ssl, bio, bio);
    if (server)
        SSL_set_accept_state(ssl);
    else
        SSL_set_connect_state(ssl);
    return ssl;
}

static BIO *through(SSL *outer)
{
    BIO *bio = BIO_new(BIO_f_ssl());
    must(bio != NULL, "BIO_f_ssl");
    BIO_set_ssl(bio, outer, BIO_NOCLOSE);
    return bio;
}

static void shake_hands(SSL *one, SSL *other)
{
    for (int turn = 0; turn < 10; turn++) {
        int first = SSL_do_handshake(one), second = SSL_do_handshake(other);
        if (first == 1 && second == 1)
            return;
    }
    must(0, "handshake");
}

static void say(SSL *from, SSL *to, const char *text)
{
    char got[64];
    int size = (int)strlen(text);
    must(SSL_write(from, text, size) == size, "SSL_write");
    must(SSL_read(to, got, sizeof got) == size && !memcmp(got, text, (size_t)size), "SSL_read");
}

int main(int count, char **arguments)
{
    char line[64];
    SSL_CTX *asks = SSL_CTX_new(TLS_client_method()), *answers = SSL_CTX_new(TLS_server_method());
    must(count == 2 && asks && answers, "arguments");
    must(SSL_CTX_use_certificate_file(answers, arguments[1], SSL_FILETYPE_PEM) == 1, "certificate");
    must(SSL_CTX_use_PrivateKey_file(answers, arguments[1], SSL_FILETYPE_PEM) == 1, "key");
    SSL_CTX_set_num_tickets(answers, 0);
    puts("ready");
    fflush(stdout);
    must(fgets(line, sizeof line, stdin) != NULL, "no order");
    BIO *here = NULL, *there = NULL;
    must(BIO_new_bio_pair(&here, 1 << 16, &there, 1 << 16), "BIO pair");
    SSL *outer_client = made(asks, here, 0), *outer_server = made(answers, there, 1);
    shake_hands(outer_client, outer_server);
    SSL *client = made(asks, through(outer_client), 0);
    SSL *server = made(answers, through(outer_server), 1);
    shake_hands(client, server);
    say(client, server, "inner question");
    say(server, client, "inner answer");
    say(client, server, "inner farewell");
    puts("done");
    fflush(stdout);
    must(fgets(line, sizeof line, stdin) == NULL, "one order is enough");
    return 0;
}
