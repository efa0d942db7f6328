// The machine's integer arithmetic, one value at a time.
#ifndef GATEWRIGHT_ARITHMETIC_H
#define GATEWRIGHT_ARITHMETIC_H

#include "memories.h"

// The quotient, rounded up; the dividend is at least 0.
inline int ceil_div(int dividend, int divisor) { return (dividend + divisor - 1) / divisor; }

// Whether an entry's shift is one that requantising can take.
inline bool shifts(const Parameter &parameter) { return 1 <= parameter.shift && parameter.shift <= SHIFT_MAX; }

// Scaled by multiplier / 2^shift, rounded half up, saturated at int16: a residual may be added before `saturate`.
inline int requantise(int64_t value, const Parameter &parameter) {
    const int64_t rounded =
        (value * parameter.multiplier + ((int64_t)1 << (parameter.shift - 1))) >> parameter.shift;
    return (int)(rounded < INT16_LEAST ? INT16_LEAST : rounded > INT16_MOST ? INT16_MOST : rounded);
}

inline int8_t saturate(int value, bool relu) {
    const int least = relu ? 0 : INT8_LEAST;
    return (int8_t)(value < least ? least : value > INT8_MOST ? INT8_MOST : value);
}

// A gate is on where its logit is at least 0.
inline bool gate_decision(int64_t logit) { return logit >= 0; }

#endif
