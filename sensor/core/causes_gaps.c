#include "causes.h"

#include <math.h>
#include <string.h>

/* Below this, bins are of equal width: 512 ns. */
#define LINEAR_NS 8192.0f

static uint32_t bits_of(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

int causes_bin(double gap_ns)
{
    /* exponent and the first four bits of the mantissa: 16 bins an octave */
    int at = (int)((bits_of((float)fabs(gap_ns) + LINEAR_NS) >> 19) - (bits_of(LINEAR_NS) >> 19));
    if (gap_ns < 0)
        return CAUSES_BINS_BEFORE - 1 - (at < CAUSES_BINS_BEFORE ? at : CAUSES_BINS_BEFORE - 1);
    return CAUSES_BINS_BEFORE + (at < CAUSES_BINS_AFTER ? at : CAUSES_BINS_AFTER - 1);
}

double causes_bin_width(int bin)
{
    int at = bin < CAUSES_BINS_BEFORE ? CAUSES_BINS_BEFORE - 1 - bin : bin - CAUSES_BINS_BEFORE;
    return ldexp((double)LINEAR_NS / CAUSES_BINS_PER_OCTAVE, at / CAUSES_BINS_PER_OCTAVE);
}

/* Bandwidths to choose from, in bins of 4.4 %. */
static const double bandwidths[] = {1.7, 2.2, 3.0, 4.0, 5.0, 9.0, 16.0};
enum { BANDWIDTHS = sizeof bandwidths / sizeof *bandwidths, REACH_MAX = 56 };

/* Counts under a Gaussian kernel; returns the share of a count that stays in its own bin. */
static double convolved(const double *counts, double width, double *smooth)
{
    double kernel[REACH_MAX + 1], sum = 0;
    int reach = (int)ceil(3.5 * width);
    for (int i = 0; i <= reach; i++) {
        kernel[i] = exp(-0.5 * i * i / (width * width));
        sum += i ? 2 * kernel[i] : kernel[i];
    }
    memset(smooth, 0, CAUSES_BINS * sizeof *smooth);
    for (int b = 0; b < CAUSES_BINS; b++)
        for (int i = -reach; i <= reach && counts[b] > 0; i++) {
            int to = b + i < 0 ? 0 : b + i >= CAUSES_BINS ? CAUSES_BINS - 1 : b + i;
            smooth[to] += counts[b] * kernel[i < 0 ? -i : i] / sum;
        }
    return kernel[0] / sum;
}

/* What is added to each bin: a little of the widest kernel and of nothing known. */
static double background(const double *wide, int bin, double prior)
{
    return 0.02 * wide[bin] + prior / CAUSES_BINS;
}

static double left_out_log(const double *counts, const double *smooth, const double *wide,
                           double own, double prior)
{
    double sum = 0;
    for (int b = 0; b < CAUSES_BINS; b++) {
        if (counts[b] <= 0)
            continue;
        double others = smooth[b] - own * (counts[b] < 1 ? counts[b] : 1);
        sum += counts[b] * log((others > 0 ? others : 0) + background(wide, b, prior));
    }
    return sum;
}

void causes_smooth(const double *counts, float *density, double weight, double prior)
{
    double smooth[CAUSES_BINS], best[CAUSES_BINS] = {0}, wide[CAUSES_BINS];
    double sum = 0, best_log = -INFINITY;
    for (int b = 0; b < CAUSES_BINS; b++)
        sum += counts[b];
    convolved(counts, bandwidths[BANDWIDTHS - 1], wide);
    for (int i = 0; i < BANDWIDTHS && sum > 0; i++) {
        double own = convolved(counts, bandwidths[i], smooth);
        double log_sum = left_out_log(counts, smooth, wide, own, prior);
        if (log_sum > best_log) {
            best_log = log_sum;
            memcpy(best, smooth, sizeof best);
        }
    }
    for (int b = 0; b < CAUSES_BINS; b++)
        density[b] = (float)(weight * (best[b] + background(wide, b, prior)) /
                             (1.02 * sum + prior) / causes_bin_width(b));
}
