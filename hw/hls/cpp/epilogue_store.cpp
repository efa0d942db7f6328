// EPILOGUE's kind STORE: bias, requantise, residual, saturate, write; and each tile's average into the pooled map.
#include "arithmetic.h"
#include "sizes.h"
#include "units.h"

// Where a block of channels of the output lies, and the residual that is added to it.
struct Maps {
    int64_t destination, source;  // of the block's first channel in the first pixel
    int stored, out_width, source_width, wrap_row, wrap_bytes, upsample;
    bool elsewhere;
};

static int target_address(const Maps &maps, Place place) {
    const int64_t address = maps.destination + (int64_t)(place.y * maps.out_width + place.x) * maps.stored;
    return ring_address(address, place.y, maps.wrap_row, maps.wrap_bytes);
}

static int residual_address(const Maps &maps, Place place) {
    if (!maps.elsewhere) return target_address(maps, place);
    const int64_t number =
        (int64_t)(place.y >> maps.upsample) * maps.source_width + (place.x >> maps.upsample);
    return ring_address(maps.source + number * maps.stored, 0, 0, 0);
}

// The product of a pixel and filter `first + lane` in the accumulators.
static int32_t product(const Epilogue &epilogue, int pixel, int first, int lane, int pixels, int filters) {
    const int bank = epilogue.bank, entry = epilogue.accumulator;
    if (epilogue.stationary == STATIONARY_FILTERS)
        return accumulators[bank][entry + first / COLUMNS * pixels + pixel][lane];
    return accumulators[bank][entry + pixel / COLUMNS * filters + first + lane][pixel % COLUMNS];
}

// One pixel of a block of `count` channels.
static void store_pixel(const Epilogue &epilogue, const Maps &maps, Place place, int pixel, int first, int count,
                        int pixels, int filters) {
    const int target = target_address(maps, place), base = epilogue.parameters, table = epilogue.filter_table;
    const int added = epilogue.residual ? residual_address(maps, place) : target;
    const int first_filter = epilogue.first_filter;
    const bool residual = epilogue.residual, relu = epilogue.relu;
lanes:
    for (int lane = 0; lane < count; lane++) {
#pragma HLS PIPELINE II=1
        const Parameter &parameter = parameters[base + filter_at(table, first_filter + first + lane)];
        const int32_t entry = product(epilogue, pixel, first, lane, pixels, filters);
        int value = requantise((int64_t)entry + parameter.bias, parameter);
        if (residual) value += scratchpad[added + lane];
        scratchpad[target + lane] = saturate(value, relu);
    }
}

// The averages of a tile's `count` channels: false if the pooled map has no such place.
static bool store_average(const Epilogue &epilogue, Place place, int first, int count, const int32_t sums[COLUMNS]) {
    const int tile = epilogue.tile, tile_y = place.y / tile, tile_x = place.x / tile;
    const int grid = epilogue.grid_width, channels = epilogue.channels;
    if (tile_x >= grid) return false;
    const int64_t cell = (int64_t)tile_y * grid + tile_x;
    const int64_t target = epilogue.pool_address + cell * channels + (int)epilogue.first_filter + first;
    if (!in_scratchpad(target, count)) return false;
    const Parameter &parameter = parameters[(int)epilogue.parameters - 1];
lanes:
    for (int lane = 0; lane < count; lane++) {
#pragma HLS PIPELINE II=1
        scratchpad[target + lane] = saturate(requantise(sums[lane], parameter), false);
    }
    return true;
}

// A block of `count` filters from `first` on, all pixels.
static bool store_block(const Epilogue &epilogue, const Maps &maps, int first, int count, int pixels, int filters) {
    const int tile = epilogue.tile, area = tile * tile, first_pixel = epilogue.first_pixel;
    const int grid = grid_columns(maps.out_width, tile), height = epilogue.out_height;
    const int table = epilogue.tile_table, first_tile = epilogue.first_tile;
    int32_t sums[COLUMNS];
#pragma HLS ARRAY_PARTITION variable=sums complete
pixels:
    for (int pixel = 0; pixel < pixels; pixel++) {
        const int number = first_pixel + pixel;
        const Place place = place_of(table, first_tile, tile, grid, number);
        const bool inside = place.y < height && place.x < maps.out_width;
        if (number % area == 0)
            for (int lane = 0; lane < COLUMNS; lane++) sums[lane] = 0;
        if (inside) {
            const int target = target_address(maps, place);
            if (!in_scratchpad(target, count)) return false;
            if (epilogue.residual && !in_scratchpad(residual_address(maps, place), count)) return false;
            store_pixel(epilogue, maps, place, pixel, first, count, pixels, filters);
            if (epilogue.pool)
                for (int lane = 0; lane < count; lane++) sums[lane] += scratchpad[target + lane];
        }
        if (epilogue.pool && number % area == area - 1 && !store_average(epilogue, place, first, count, sums))
            return false;
    }
    return true;
}

bool epilogue_store(const Epilogue &epilogue, int pixels, int filters) {
    const int first_filter = epilogue.first_filter, channels = epilogue.channels;
    Maps maps;
    maps.stored = epilogue.compact ? (int)table_counts[(int)epilogue.filter_table] : channels;
    maps.out_width = epilogue.out_width;
    maps.source_width = epilogue.source_width;
    maps.wrap_row = epilogue.wrap_row;
    maps.wrap_bytes = epilogue.wrap_bytes;
    maps.upsample = epilogue.upsample;
    maps.elsewhere = epilogue.elsewhere;
    if (first_filter + filters > maps.stored) return false;
    if (epilogue.pool) {
        if (first_filter + filters > channels) return false;
        if (!shifts(parameters[(int)epilogue.parameters - 1])) return false;
    }
blocks:
    for (int first = 0; first < filters; first += COLUMNS) {
        const int count = filters - first < COLUMNS ? filters - first : COLUMNS;
        maps.destination = (int64_t)epilogue.destination + first_filter + first;
        maps.source = (int64_t)epilogue.source + first_filter + first;
        if (!store_block(epilogue, maps, first, count, pixels, filters)) return false;
    }
    return true;
}
