// EPILOGUE's kinds MAX, AVERAGE and DIGITS: windows of a map become one pixel each, with DIGITS two.
#include "arithmetic.h"
#include "windows.h"

// Each channel's maximum, or sum, over the window at (top, left). Outside of the map is the least value, or 0.
static bool combine(const Epilogue &epilogue, int top, int left, int first, int count, int32_t values[COLUMNS]) {
    const bool largest = epilogue.kind == KIND_MAX;
    const int window = epilogue.window, channels = epilogue.channels;
    const int64_t source = (int64_t)epilogue.source + (int)epilogue.first_filter + first;
    for (int lane = 0; lane < count; lane++) values[lane] = largest ? INT8_LEAST : 0;
places:
    for (int place = 0; place < window * window; place++) {
        const int y = top + place / window, x = left + place % window, number = source_place(epilogue, y, x);
        if (number < 0) continue;
        const int address =
            ring_address(source + (int64_t)number * channels, y, epilogue.wrap_row, epilogue.wrap_bytes);
        if (!in_scratchpad(address, count)) return false;
    lanes:
        for (int lane = 0; lane < count; lane++) {
#pragma HLS PIPELINE II=1
            const int value = scratchpad[address + lane];
            values[lane] = !largest ? values[lane] + value : value > values[lane] ? value : values[lane];
        }
    }
    return true;
}

// Write what the window of an output pixel came to; one below the map is not written.
static bool write(const Epilogue &epilogue, Place place, int first, int count, const int32_t values[COLUMNS]) {
    const int height = epilogue.out_height, width = epilogue.out_width, channels = epilogue.channels;
    const bool digits = epilogue.kind == KIND_DIGITS;
    if (place.y >= height || place.x >= width) return true;
    const int64_t destination = (int64_t)epilogue.destination + (int)epilogue.first_filter + first;
    for (int digit = 0; digit < (digits ? 2 : 1); digit++) {
        const int64_t number = (int64_t)(place.y * width + place.x) * (digits ? 2 : 1) + digit;
        const int target = ring_address(destination + number * channels, 0, 0, 0);
        if (!in_scratchpad(target, count)) return false;
    lanes:
        for (int lane = 0; lane < count; lane++) {
#pragma HLS PIPELINE II=1
            const int32_t value = values[lane];
            if (!digits)
                scratchpad[target + lane] =
                    saturate(requantise(value, parameters[(int)epilogue.parameters - 1]), false);
            else
                scratchpad[target + lane] = (int8_t)(digit == 0 ? value >> DIGIT_BITS : value & DIGIT_MASK);
        }
    }
    return true;
}

bool epilogue_windows(const Epilogue &epilogue) {
    const bool digits = epilogue.kind == KIND_DIGITS;
    const int entry = (int)epilogue.parameters - 1, step = epilogue.step, inset = epilogue.inset;
    const int first_filter = epilogue.first_filter, channels = epilogue.filter_count, stored = epilogue.channels;
    if (!window_rules(epilogue, digits ? MOST_DIGITS_WINDOW : MOST_WINDOW) || (!digits && entry < 0)) return false;
    const int pixels = window_pixels(epilogue);
    if (pixels == 0 || channels == 0) return true;
    if (first_filter + channels > stored) return false;
    if (!digits && (entry >= PARAMETER_ENTRIES || !shifts(parameters[entry]))) return false;
    int32_t values[COLUMNS];
#pragma HLS ARRAY_PARTITION variable=values complete
blocks:
    for (int first = 0; first < channels; first += COLUMNS) {
        const int count = channels - first < COLUMNS ? channels - first : COLUMNS;
    pixels:
        for (int pixel = 0; pixel < pixels; pixel++) {
            const Place place = window_pixel(epilogue, pixel);
            const int top = place.y * step - inset, left = place.x * step - inset;
            if (!combine(epilogue, top, left, first, count, values)) return false;
            if (!write(epilogue, place, first, count, values)) return false;
        }
    }
    return true;
}
