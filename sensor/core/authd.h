/* The dialogue of vmware-authd: lines both ways, until TLS begins or a service is connected. No
 * specification is public; what clients and scanners show of it is cited in authd.c. */
#ifndef HOPTAP_AUTHD_H
#define HOPTAP_AUTHD_H

#include "framing.h"

/* The greeting that the server begins with, on whatever port. */
enum start_verdict authd_banner(const uint8_t *data, uint32_t bytes);
/* A client's first words, where the greeting was not captured. */
enum start_verdict authd_words(const uint8_t *data, uint32_t bytes);
uint32_t authd_data(struct framing *framing, enum direction direction, const uint8_t *data,
                    uint32_t bytes, uint64_t time_ns);
/* Silent until the next line end. */
void authd_gap(struct framing *framing, enum direction direction);

#endif
