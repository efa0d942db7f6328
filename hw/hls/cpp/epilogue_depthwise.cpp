// EPILOGUE's kind DEPTHWISE: of windows of a map each channel's bytes times its weights, finished as STORE does.
#include "arithmetic.h"
#include "windows.h"

// Byte `byte` of a parameter entry as a weight: bias and multiplier are six of them.
static int weight_byte(const Parameter &parameter, int byte) {
    const uint32_t word = byte < 4 ? (uint32_t)parameter.bias >> (8 * byte) : parameter.multiplier >> (8 * (byte - 4));
    return (int8_t)(uint8_t)word;
}

// The weight of place (dy, dx) of a window; those of a small window are the last of a row's.
static int weight(int entry, int window, int dy, int dx) {
    return weight_byte(parameters[entry + DEPTHWISE_ROW_ENTRY[dy]],
                       DEPTHWISE_ROW_BYTE[dy] + MOST_DEPTHWISE_WINDOW - window + dx);
}

// The first parameter entry of the channel at a position of the instruction.
static int first_entry(const Epilogue &epilogue, int position) {
    const int channel = filter_at(epilogue.filter_table, (int)epilogue.first_filter + position);
    return (int)epilogue.parameters + DEPTHWISE_ENTRIES * channel;
}

static bool check_parameters(const Epilogue &epilogue, int channels) {
check:
    for (int position = 0; position < channels; position++) {
#pragma HLS PIPELINE II=1
        const int last = first_entry(epilogue, position) + DEPTHWISE_PARTS - 1;
        if (last >= PARAMETER_ENTRIES || !shifts(parameters[last])) return false;
    }
    return true;
}

// The weighted sums of the window of an output pixel, for a block of `count` channels.
static bool add_up(const Epilogue &epilogue, Place place, int stored, int first, int count, int32_t sums[COLUMNS]) {
    const int window = epilogue.window, step = epilogue.step, inset = epilogue.inset;
    const int64_t source = (int64_t)epilogue.source + (int)epilogue.first_filter + first;
    for (int lane = 0; lane < count; lane++) sums[lane] = 0;
places:
    for (int tap = 0; tap < window * window; tap++) {
        const int dy = tap / window, dx = tap % window;
        const int y = place.y * step - inset + dy, x = place.x * step - inset + dx;
        const int number = source_place(epilogue, y, x);
        if (number < 0) continue;
        const int address =
            ring_address(source + (int64_t)number * stored, y, epilogue.wrap_row, epilogue.wrap_bytes);
        if (!in_scratchpad(address, count)) return false;
    lanes:
        for (int lane = 0; lane < count; lane++) {
#pragma HLS PIPELINE II=1
            const int entry = first_entry(epilogue, first + lane);
            sums[lane] += weight(entry, window, dy, dx) * scratchpad[address + lane];
        }
    }
    return true;
}

// A block of `count` channels from `first` on, all pixels.
static bool block_of_channels(const Epilogue &epilogue, int stored, int first, int count, int pixels) {
    const int tile = epilogue.tile, first_pixel = epilogue.first_pixel, first_tile = epilogue.first_tile;
    const int table = epilogue.tile_table, height = epilogue.out_height, width = epilogue.out_width;
    const int64_t destination = (int64_t)epilogue.destination + (int)epilogue.first_filter + first;
    const bool relu = epilogue.relu;
    int32_t sums[COLUMNS];
#pragma HLS ARRAY_PARTITION variable=sums complete
pixels:
    for (int pixel = 0; pixel < pixels; pixel++) {
        const Place place = place_of(table, first_tile, tile, grid_columns(width, tile), first_pixel + pixel);
        if (!add_up(epilogue, place, stored, first, count, sums)) return false;
        if (place.y >= height || place.x >= width) continue;
        const int target = ring_address(destination + (int64_t)(place.y * width + place.x) * stored, 0, 0, 0);
        if (!in_scratchpad(target, count)) return false;
    lanes:
        for (int lane = 0; lane < count; lane++) {
#pragma HLS PIPELINE II=1
            const Parameter &parameter = parameters[first_entry(epilogue, first + lane) + DEPTHWISE_PARTS - 1];
            const int value = requantise((int64_t)sums[lane] + parameter.bias, parameter);
            scratchpad[target + lane] = saturate(value, relu);
        }
    }
    return true;
}

bool epilogue_depthwise(const Epilogue &epilogue) {
    const int tile = epilogue.tile, window = epilogue.window, step = epilogue.step, first = epilogue.first_filter;
    int tiles, channels;
    if (tile == 0 || !bounded(epilogue.tile_table, epilogue.first_tile, epilogue.tile_count, tiles)) return false;
    if (!listed_filters(epilogue.filter_table, first, epilogue.filter_count, epilogue.only, channels)) return false;
    if (!epilogue_rules(epilogue, 0, 0) || epilogue.inset >= epilogue.window) return false;
    if (window < 1 || window > MOST_DEPTHWISE_WINDOW || step < 1 || step > MOST_DEPTHWISE_STEP) return false;
    const int pixels = chunk_pixels(tiles, tile, epilogue.first_pixel, epilogue.pixel_count);
    if (pixels == 0 || channels == 0) return true;
    const int stored = epilogue.compact ? (int)table_counts[(int)epilogue.filter_table] : (int)epilogue.channels;
    if (first + channels > stored || !check_parameters(epilogue, channels)) return false;
blocks:
    for (int block = 0; block < channels; block += COLUMNS) {
        const int count = channels - block < COLUMNS ? channels - block : COLUMNS;
        if (!block_of_channels(epilogue, stored, block, count, pixels)) return false;
    }
    return true;
}
