// EPILOGUE's kinds REDUCE and REDUCE_RAW, which sum over pixels, and THRESHOLD, whose signs become mask bits.
#include "arithmetic.h"
#include "sizes.h"
#include "units.h"

bool epilogue_sums(const Epilogue &epilogue, int pixels, int filters) {
    const bool raw = epilogue.kind == KIND_REDUCE_RAW, relu = epilogue.relu, digits = epilogue.digits;
    const int width = raw ? LOGIT_BYTES : 1, table = epilogue.filter_table, first_filter = epilogue.first_filter;
    const int bank = epilogue.bank, first_entry = epilogue.accumulator, base = epilogue.parameters;
    const int target = (int)epilogue.destination + width * first_filter;
    if (!in_scratchpad(target, (int64_t)width * filters)) return false;
filters:
    for (int j = 0; j < filters; j++) {
        const Parameter &parameter = parameters[base + filter_at(table, first_filter + j)];
        const int entry = first_entry + j / COLUMNS * pixels, lane = j % COLUMNS;
        uint32_t sum = 0;  // unsigned, for sums over entries wrap around
    pixels:
        for (int pixel = 0; pixel < pixels; pixel++) {
#pragma HLS PIPELINE II=1
            const uint32_t value = (uint32_t)accumulators[bank][entry + pixel][lane];
            sum += digits && pixel == 0 ? value << DIGIT_BITS : value;
        }
        const int64_t total = (int64_t)(int32_t)sum + parameter.bias;
        if (raw)
            for (int byte = 0; byte < LOGIT_BYTES; byte++)
                scratchpad[target + LOGIT_BYTES * j + byte] = (int8_t)(uint8_t)(total >> (8 * byte));
        else
            scratchpad[target + j] = saturate(requantise(total, parameter), relu);
    }
    return true;
}

bool epilogue_threshold(const Epilogue &epilogue, int pixels, int filters) {
    const bool filters_stand = epilogue.stationary == STATIONARY_FILTERS;
    const int bits = filters_stand ? filters : pixels, first = epilogue.destination;
    const int bank = epilogue.bank, entry = epilogue.accumulator, base = epilogue.parameters;
    const int table = epilogue.filter_table, first_filter = epilogue.first_filter;
    if (first + bits > MASKS * MASK_BITS) return false;
bits:
    for (int bit = 0; bit < bits; bit++) {
#pragma HLS PIPELINE II=1
        const int filter = filter_at(table, first_filter + (filters_stand ? bit : 0));
        const int32_t value = accumulators[bank][entry + bit / COLUMNS][bit % COLUMNS];
        masks[first + bit] = gate_decision((int64_t)value + parameters[base + filter].bias);
    }
    return true;
}
