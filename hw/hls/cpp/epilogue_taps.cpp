// EPILOGUE's kind TAPS: windows of a map in the accumulators, of each entry the lane of its place, become mask bits.
#include "arithmetic.h"
#include "windows.h"

bool epilogue_taps(const Epilogue &epilogue) {
    if (!window_rules(epilogue, MOST_TAPS_WINDOW) || epilogue.channels != 1 || epilogue.wrap_row != 0) return false;
    const int pixels = window_pixels(epilogue), filters = epilogue.filter_count, base = epilogue.parameters;
    if (pixels == 0 || filters == 0) return true;
    const int source = epilogue.source, height = epilogue.source_height, width = epilogue.source_width;
    if ((int)epilogue.first_filter + filters > 1 || base >= PARAMETER_ENTRIES) return false;
    if (source + height * width > ACCUMULATOR_DEPTH) return false;
    const int window = epilogue.window, bank = epilogue.bank, step = epilogue.step, inset = epilogue.inset;
    const int out_height = epilogue.out_height, out_width = epilogue.out_width, first_bit = epilogue.destination;
pixels:
    for (int pixel = 0; pixel < pixels; pixel++) {
        const Place place = window_pixel(epilogue, pixel);
        const int top = place.y * step - inset, left = place.x * step - inset;
        uint32_t sum = (uint32_t)parameters[base].bias;  // unsigned, for sums wrap around
    places:
        for (int tap = 0; tap < window * window; tap++) {
#pragma HLS PIPELINE II=1
            const int number = source_place(epilogue, top + tap / window, left + tap % window);
            if (number >= 0) sum += (uint32_t)accumulators[bank][source + number][tap];
        }
        if (place.y >= out_height || place.x >= out_width) continue;
        const int bit = first_bit + place.y * out_width + place.x;
        if (bit >= MASKS * MASK_BITS) return false;
        masks[bit] = gate_decision((int32_t)sum);
    }
    return true;
}
