/* From a spotter's scores to detections: see msl_detect. Integers only. */
#ifndef MSL_DETECTOR_H
#define MSL_DETECTOR_H

#include <stdint.h>

#define MSL_LOWEST_MARGIN (-255)

struct msl_detector {
    int words;      /* label 0 stands for everything else */
    int steps;      /* rows of scores whose margins are added */
    int refractory; /* steps after a detection without another one */
    const int32_t *thresholds; /* [words], for a sum of margins */
    int16_t *margins;          /* [steps][words], a ring */
    int32_t *sums;             /* [words] */
    struct msl_detector_place {
        int newest; /* row of the ring */
        int quiet;  /* steps left without a detection */
    } *place;
};

static void msl_detector_reset(const struct msl_detector *p) {
    for (int i = 0; i < p->steps * p->words; i++) p->margins[i] = MSL_LOWEST_MARGIN;
    for (int i = 0; i < p->words; i++) p->sums[i] = p->steps * MSL_LOWEST_MARGIN;
    p->place->newest = p->place->quiet = 0;
}

/* A label's score above the best other one. */
static inline int msl_margin(const int8_t *scores, int labels, int label) {
    int best = INT8_MIN;
    for (int i = 0; i < labels; i++)
        if (i != label && scores[i] > best) best = scores[i];
    return scores[label] - best;
}

/* Takes the next row of scores. Returns the label that is detected, 0 for none: of those whose sum of the last
   `steps` margins reaches its threshold, the one that exceeds it the most, the first of equals. */
static int msl_detect(const struct msl_detector *p, const int8_t *scores) {
    int16_t *margins = p->margins + p->place->newest * p->words;
    int32_t most = -1;
    int found = 0;
    for (int word = 0; word < p->words; word++) {
        int margin = msl_margin(scores, p->words + 1, word + 1);
        p->sums[word] += margin - margins[word];
        margins[word] = (int16_t)margin;
        int32_t above = p->sums[word] - p->thresholds[word];
        if (above > most) most = above, found = word + 1;
    }
    p->place->newest = (p->place->newest + 1) % p->steps;
    if (p->place->quiet > 0) return p->place->quiet--, 0;
    if (found) p->place->quiet = p->refractory - 1;
    return found;
}

#endif
