/* From a window to features, one stage after the other, for one clip (one.h) or eight (eight.h).

   Every rounding, wrap and order of operations is that of TensorFlow's microfrontend and of the
   kissfft below it; where this leaves a step out, that step changes no bit. */
#ifndef STAGES_H
#define STAGES_H

#define QUARTER (32767 / 4) /* scaling by these before each pass keeps sums within 16 bits, or nearly */
#define HALF (32767 / 2)

/* Where a window's pair of samples belongs, so that the passes work in place. */
INLINE int place_of(int pair_number) {
    int leaves = MF_POINTS / MF_FIRST_RADIX;
    return mf_reverse[pair_number % leaves] * MF_FIRST_RADIX + pair_number / leaves;
}

/* Radix 4 into places 0, m, 2m and 3m, from points that have been scaled and turned. */
INLINE void butterfly(place *p, int m, pair a, pair b, pair c, pair d) {
    pair even = pair_add(a, c), odd = pair_sub(a, c);
    pair sum = pair_add(b, d), difference = pair_quarter_back(pair_sub(b, d));
    p[0].point = pair_add(even, sum);
    p[m].point = pair_add(odd, difference);
    p[2 * m].point = pair_sub(even, sum);
    p[3 * m].point = pair_sub(odd, difference);
}

INLINE pair quarter(const place *p) { return pair_scale(p->point, QUARTER); }

/* The first butterfly of a pass turns nothing: after the scaling, 32767 is as good as 1. */
INLINE void straight_butterfly(place *p, int m) {
    butterfly(p, m, quarter(p), quarter(p + m), quarter(p + 2 * m), quarter(p + 3 * m));
}

INLINE void turned_butterfly(place *p, int m, turn b, turn c, turn d) {
    butterfly(p, m, quarter(p), pair_turn(quarter(p + m), b), pair_turn(quarter(p + 2 * m), c),
              pair_turn(quarter(p + 3 * m), d));
}

/* The first pass, on neighbours; before it, samples are made as loud as 16 bits allow. */
INLINE void first_pass(place *work, word loudness) {
    for (place *p = work; p < work + MF_POINTS; p += MF_FIRST_RADIX) {
        pair a = pair_shift(p[0].point, loudness), b = pair_shift(p[1].point, loudness);
        if (MF_FIRST_RADIX == 4) {
            pair c = pair_shift(p[2].point, loudness), d = pair_shift(p[3].point, loudness);
            butterfly(p, 1, pair_scale(a, QUARTER), pair_scale(b, QUARTER), pair_scale(c, QUARTER),
                      pair_scale(d, QUARTER));
        } else {
            a = pair_scale(a, HALF), b = pair_scale(b, HALF);
            p[0].point = pair_add(a, b);
            p[1].point = pair_sub(a, b);
        }
    }
}

INLINE void transform(place *work, word loudness) {
    first_pass(work, loudness);
    for (int m = MF_FIRST_RADIX; m < MF_POINTS; m *= 4) {
        int step = MF_POINTS / (4 * m);
        for (place *p = work; p < work + MF_POINTS; p += 4 * m) straight_butterfly(p, m);
        for (int k = 1; k < m; k++) {
            turn b = turn_of(&mf_turns[k * step]), c = turn_of(&mf_turns[2 * k * step]);
            turn d = turn_of(&mf_turns[3 * k * step]);
            for (place *p = work + k; p < work + MF_POINTS; p += 4 * m) turned_butterfly(p, m, b, c, d);
        }
    }
}

/* The transform took even samples for real parts and odd ones for imaginary parts: part their spectra, and
   leave each bin's energy, which is below 2^31. Bins 0 and MF_POINTS belong to no channel. */
INLINE void energies(place *work) {
    for (int k = 1; k <= MF_POINTS / 2; k++) {
        place *low = work + k, *high = work + MF_POINTS - k;
        pair a = pair_scale(low->point, HALF), b = pair_scale(pair_conjugate(high->point), HALF);
        pair sum = pair_add(a, b);
        pair turned = pair_turn(pair_sub(a, b), turn_of(&mf_split_turns[k - 1]));
        low->energy = pair_energy(pair_half_sum(sum, turned));
        high->energy = pair_energy(pair_half_difference(sum, turned));
    }
}

/* Two bits more of a square root: `rest` is what the root so far leaves of the number. */
INLINE void root_step(word *rest, word *root, word bits) {
    word larger = *rest << 2 | bits, trial = *root << 2 | 1;
    *root = word_if_above(trial, larger, *root << 1, *root << 1 | 1);
    *rest = word_if_above(trial, larger, larger, larger - trial);
}

/* The square root of a number below 2^58, to nearest; but 65535 is not rounded up where the number has
   no more than 32 bits, as upstream has a shorter way with those. */
INLINE word square_root(wide number) {
    word high = wide_down(number, 32), low = wide_down(number, 0), rest = low & 0, root = rest;
    int skipped = (32 - word_most_bits(high)) / 2;
    word left = skipped < 16 ? high << 2 * skipped : high;
    for (int i = skipped; i < 16; i++, left <<= 2) root_step(&rest, &root, left >> 30);
    skipped = skipped < 16 ? 0 : (32 - word_most_bits(low)) / 2;
    left = skipped < 16 ? low << 2 * skipped : low;
    for (int i = skipped; i < 16; i++, left <<= 2) root_step(&rest, &root, left >> 30);
    word up = word_if_above(rest, root, root + 1, root);
    return word_if_above(high | (root ^ 65535), root & 0, up, root);
}

/* Follows the noise of a channel and takes it off; even and odd channels follow at different speeds. */
INLINE word reduce_noise(word signal, word *noise, uint32_t smoothing) {
    word signal_up = signal << 10;
    wide estimate = wide_mul_add(wide_mul_add(wide_of(0), signal_up, smoothing), *noise, (1 << 14) - smoothing);
    *noise = wide_down(estimate, 14);
    word left = (signal_up - word_min(*noise, signal_up)) >> 10;
    word least = wide_down(wide_mul_add(wide_of(0), signal, MF_LEAST_SIGNAL), 14);
    return word_max(left, least);
}

/* A channel amplified by what its noise says, and soft below a signal-to-noise ratio of 2. */
INLINE word control_gain(word signal, word noise) {
    word bits = word_bits(noise), row = bits << 2;
    word at = noise << (32 - word_max(bits, (bits & 0) + 1)) >> 21 & 1023;
    word slope = word_down(word_signed_at(mf_gain[0] + 2, row) * at, 5) + (word_signed_at(mf_gain[0] + 1, row) << 5);
    word gain = word_down(slope * at + (1 << 14), 15) + word_signed_at(mf_gain[0], row);
    word ratio = wide_down(wide_mul(signal, gain), MF_SNR_SHIFT);
    return word_if_above((ratio & 0) + (2 << 12), ratio, ratio * ratio >> 20, (ratio >> 6) - (1 << 6));
}

/* 64 * ln(2^MF_CORRECTION * value), 0 for what is not above 1. */
INLINE word logarithm(word value) {
    value = MF_CORRECTION < 0 ? value >> (MF_CORRECTION < 0 ? -MF_CORRECTION : 0) : value << (MF_CORRECTION & 31);
    word bits = word_max(word_bits(value), (value & 0) + 1);
    word fraction = value << (32 - bits) >> 15 & 65535, segment = fraction >> 9;
    word table = word_pair_at(mf_log, segment), above = table & 65535;
    word between = word_down(((table >> 16) - above) * (fraction & 511), 16);
    word log2 = ((bits - 1) << 16) + fraction + above + between;
    word loge = wide_down(wide_mul_add(wide_of(1 << 15), log2, 45426), 16); /* 65536 * ln 2 */
    return word_if_above(value, (value & 0) + 1, ((loge << 6) + (1 << 15)) >> 16, value & 0);
}

/* All channels' signals from all energies. Each slope ends one channel and begins the next. */
INLINE void channels(const place *work, word loudness, word *signals) {
    const struct mf_weights *weights = mf_weights;
    wide channel = wide_of(0), next = wide_of(0);
    work += MF_FIRST_BIN;
    for (int slope = 0; slope <= MF_CHANNELS; slope++, channel = next, next = wide_of(0)) {
        for (int left = mf_widths[slope]; left > 0; left--, work++, weights++) {
            channel = wide_mul_add(channel, work->energy, weights->ending);
            next = wide_mul_add(next, work->energy, weights->beginning);
        }
        if (slope > 0) signals[slope - 1] = square_root(channel) >> loudness;
    }
}

/* A frame's signals from its window, which lies in its places; `peak` is pair_louder of them all. */
INLINE void find_signals(place *work, pair peak, word *signals) {
    word loudness = 15 - word_bits(pair_peak(peak));
    transform(work, loudness);
    energies(work);
    channels(work, loudness, signals);
}

/* A frame's features in the place of its signals; the noise follows them. */
INLINE void find_features(word *found, word *noise) {
    for (int c = 0; c < MF_CHANNELS; c++) {
        uint32_t smoothing = c & 1 ? MF_SMOOTHING_ODD : MF_SMOOTHING_EVEN;
        word signal = reduce_noise(found[c], noise + c, smoothing);
        found[c] = logarithm(control_gain(signal, noise[c]));
    }
}

#endif
